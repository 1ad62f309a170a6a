// The JavaScript library `xen-api`, unmodified, follows a pool by events while others work on it: at every pause its copy is
// what the server answers. 30 seconds; ten minutes with $XENLEDGER_LONG.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { PASSWORD, run, startServer, waitUntil } from './harness.mjs'

// The library is installed outside of the source tree: $NODE_PATH says where, which only `require` looks at.
const { createClient } = await import(createRequire(import.meta.url).resolve('xen-api'))

const SECONDS = process.env.XENLEDGER_LONG ? 600 : 30
// How long is worked between two comparisons.
const STRETCH_MS = 6e3
const WORKERS = 8
const MACHINES_MAX = 4 // of each worker
const MIB = 1024 * 1024

// Nobody is told of these: they are measured, or their class raises no events.
const MEASURED = new Set(['memory_free', 'last_active', 'last_updated'])
const SILENT = new Set(['session', 'user', 'secret'])

const seed = Number(process.env.XENLEDGER_SEED ?? 20261122)
console.log(`XENLEDGER_SEED=${seed}`)

const warnings = []
console.warn = (...words) => warnings.push(words.map(String).join(' '))

// Numbers from 0 to 1 that follow from a seed.
const dice = state => () => {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const connect = async (url, options) => {
  const xapi = createClient({ url, auth: { user: 'root', password: PASSWORD }, allowUnauthorized: true, ...options })
  await xapi.connect()
  return xapi
}

// One who works on machines of its own.
class Worker {
  constructor(xapi, number) {
    Object.assign(this, { xapi, number, random: dice(seed + number), machines: [], calls: 0, refused: 0 })
  }

  one(of) {
    return of[Math.floor(this.random() * of.length)]
  }

  async call(...args) {
    ++this.calls
    try {
      return await this.xapi.call(...args)
    } catch (error) {
      // What is refused for the state of a machine is part of the load; a defect is not.
      if (error.code === undefined || error.code === 'INTERNAL_ERROR' || error.code === 'SESSION_INVALID') {
        throw error
      }
      ++this.refused
    }
  }

  async add(templates) {
    const vm = await this.call('VM.clone', this.one(templates), `load ${this.number} ${this.calls}`)
    if (vm !== undefined) {
      await this.call('VM.provision', vm)
      await this.call('VM.set_memory', vm, 128 * MIB)
      this.machines.push(vm)
    }
  }

  async remove(vm) {
    this.machines = this.machines.filter(one => one !== vm)
    if ((await this.call('VM.get_power_state', vm)) !== 'Halted') {
      await this.call('VM.hard_shutdown', vm)
    }
    await this.call('VM.destroy', vm)
  }

  async step(templates) {
    const vm = this.one(this.machines)
    if (vm === undefined || (this.machines.length < MACHINES_MAX && this.random() < 0.1)) {
      return this.add(templates)
    }
    const key = `key ${Math.floor(this.random() * 5)}`
    await this.one([
      () => this.call('VM.set_name_label', vm, `renamed ${this.calls}`),
      () => this.call('VM.add_to_other_config', vm, key, String(this.calls)),
      () => this.call('VM.remove_from_other_config', vm, key),
      () => this.call('VM.add_tags', vm, key),
      () => this.call('VM.remove_tags', vm, key),
      () => this.call('VM.start', vm, false, false),
      () => this.call('VM.pause', vm),
      () => this.call('VM.unpause', vm),
      () => this.call('VM.suspend', vm),
      () => this.call('VM.resume', vm, false, false),
      () => this.call('VM.clean_shutdown', vm),
      () => this.call('Async.VM.hard_reboot', vm),
      async () => {
        const snapshot = await this.call('VM.snapshot', vm, 'taken')
        if (snapshot !== undefined && this.random() < 0.8) {
          await this.call('VM.destroy', snapshot)
        }
      },
      () => this.remove(vm),
    ])()
  }
}

// The library asks for a barrier by a key that it takes away again; whether its copy has heard of that is a race.
const withoutBarriers = value =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('xo:barrier:')))
    : value

// Where the follower's copy differs from what the server answers.
const differences = async (xapi, direct) => {
  const found = []
  for (const type of xapi._types.filter(type => !SILENT.has(type))) {
    const records = await direct.call(`${type}.get_all_records`)
    const copies = new Map(
      Object.values(xapi._objectsByRef)
        .filter(copy => copy.$type === type)
        .map(copy => [copy.$ref, copy])
    )
    for (const [ref, record] of Object.entries(records)) {
      const copy = copies.get(ref)
      if (!copies.delete(ref)) {
        found.push(`${type} ${ref} is missing`)
        continue
      }
      const wrapped = xapi._wrapRecord(type, ref, record)
      for (const field of Object.keys(record)) {
        try {
          const plain = field === 'other_config' ? withoutBarriers : value => value
          assert.deepEqual(plain(copy[field]), plain(wrapped[field]))
        } catch {
          if (!MEASURED.has(field)) {
            found.push(`${type} ${ref} ${field}: ${JSON.stringify(copy[field])}, not ${JSON.stringify(wrapped[field])}`)
          }
        }
      }
    }
    found.push(...[...copies.keys()].map(ref => `${type} ${ref} is gone`))
  }
  return found
}

const cases = {
  async 'its copy is the server’s, whatever the others do'({ xapi, direct }) {
    const templates = Object.values(xapi.objects.all)
      .filter(object => object.$type === 'VM' && object.is_a_template && !object.is_a_snapshot)
      .map(object => object.$ref)
    const workers = Array.from({ length: WORKERS }, (_, number) => new Worker(direct, number))
    let events = 0
    const original = xapi._processEvents
    xapi._processEvents = function (batch) {
      events += batch.length
      return original.call(this, batch)
    }
    let pauses = 0
    for (const end = Date.now() + SECONDS * 1e3; Date.now() < end; ++pauses) {
      const until = Math.min(end, Date.now() + STRETCH_MS)
      await Promise.all(
        workers.map(async worker => {
          while (Date.now() < until) {
            await worker.step(templates)
          }
        })
      )
      let last = []
      // Guests go on telling for a while after nobody calls any more.
      await waitUntil(async () => {
        await xapi.barrier()
        last = await differences(xapi, direct)
        return last.length === 0
      }).catch(error => assert.fail(`${error.message}\n${last.slice(0, 20).join('\n')}`))
    }
    const sum = what => workers.reduce((all, worker) => all + worker[what], 0)
    console.log(`${SECONDS} s: ${sum('calls')} calls (${sum('refused')} refused), ${events} events, equal at ${pauses} pauses`)
    assert.ok(events > 0 && sum('calls') > 10 * WORKERS)
    assert.ok(sum('refused') < 0.9 * sum('calls'), 'hardly anything was accepted')
  },

  async 'nothing was complained about'() {
    assert.deepEqual(warnings, [])
  },
}

const server = await startServer()
const { http } = server.addresses
const open = async () => {
  const xapi = await connect(http, { debounce: 10, eventPollDelay: 100, transport: 'json-rpc' })
  await xapi._objectsFetched
  const direct = await connect(http, { watchEvents: false, transport: 'json-rpc' })
  const disconnect = async () => {
    await direct.disconnect()
    await xapi.disconnect()
  }
  return { xapi, direct, disconnect }
}
await run('xen-api under load', server, { 'json-rpc': open }, cases, (SECONDS + 120) * 1e3)

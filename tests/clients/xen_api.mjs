// The JavaScript library `xen-api`, unmodified, over both of its transports and over TLS: every case runs over each.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { PASSWORD, run, startServer, waitUntil } from './harness.mjs'

// The library is installed outside of the source tree: $NODE_PATH says where, which only `require` looks at.
const { createClient, Ref } = await import(createRequire(import.meta.url).resolve('xen-api'))

// What the library complains about must reach a case: it logs, and goes on.
const warnings = []
console.warn = (...words) => warnings.push(words.map(String).join(' '))

const barrierKeys = async xapi => {
  const kept = await xapi.getField('pool', xapi.pool.$ref, 'other_config')
  return Object.keys(kept).filter(key => key.startsWith('xo:barrier:'))
}

// The library does not wait until a barrier's key is away: who leaves right behind one, as a round does, may be logged out
// before. What a round found when it came is not its own.
let inherited = []

const client = (url, transport) => async () => {
  warnings.length = 0
  const xapi = createClient({
    url,
    auth: { user: 'root', password: PASSWORD },
    allowUnauthorized: true,
    debounce: 10,
    // How long it rests after an error of its own, such as looking for its session while it logs in again.
    eventPollDelay: 100,
    transport,
  })
  await xapi.connect()
  await xapi._objectsFetched
  inherited = await barrierKeys(xapi)
  return xapi
}

const all = (xapi, type) => Object.values(xapi.objects.indexes.type[type] ?? {})

const template = xapi => {
  const found = all(xapi, 'VM').filter(vm => vm.is_a_template && !vm.is_a_snapshot)
  assert.notEqual(found.length, 0, 'there is no template')
  return found.sort((a, b) => (a.name_label < b.name_label ? -1 : 1))[0]
}

const machine = async (xapi, name) => {
  const ref = await xapi.callAsync('VM.clone', template(xapi).$ref, name)
  await xapi.callAsync('VM.provision', ref)
  return xapi.barrier(ref)
}

const discard = async (xapi, ref) => {
  if ((await xapi.getField('VM', ref, 'power_state')) !== 'Halted') {
    await xapi.callAsync('VM.hard_shutdown', ref)
  }
  await xapi.callAsync('VM.destroy', ref)
}

const code = (expected, ...params) => error => {
  assert.equal(error.code, expected)
  params.forEach((param, i) => assert.equal(error.params[i], param))
  return true
}

const cases = {
  async 'connects and knows its pool'(xapi) {
    assert.equal(xapi.status, 'connected')
    assert.equal(xapi.pool.$type, 'pool')
    assert.ok(xapi.sessionId.startsWith('OpaqueRef:'))
  },

  async 'fetches every class of system.listMethods without a complaint'(xapi) {
    const types = xapi._types
    for (const type of ['VM', 'VBD', 'VDI', 'SR', 'host', 'pool', 'network', 'PIF', 'task', 'VM_guest_metrics']) {
      assert.ok(types.includes(type), type)
    }
    assert.equal(new Set(types).size, types.length, 'a class is listed twice')
    assert.ok(!types.includes('Async'))
    for (const type of types) {
      const records = await xapi.getAllRecords(type)
      assert.ok(Array.isArray(records), type)
    }
    assert.deepEqual(warnings, [])
  },

  async 'holds the objects of the pool'(xapi) {
    assert.equal(all(xapi, 'pool').length, 1)
    assert.equal(all(xapi, 'host').length, 1)
    assert.equal(xapi.pool.$master.$ref, all(xapi, 'host')[0].$ref)
    assert.ok(xapi.pool.$default_SR.$PBDs.length > 0)
    for (const type of ['SR', 'network', 'PIF', 'VM']) {
      assert.notEqual(all(xapi, type).length, 0, type)
    }
  },

  async 'gives values their types'(xapi) {
    const vm = await xapi.getRecord('VM', template(xapi).$ref)
    assert.ok(Number(vm.VCPUs_max) > 0)
    assert.equal(vm.is_a_template, true)
    assert.equal(typeof vm.HVM_shadow_multiplier, 'number')
    assert.equal(vm.snapshot_of, Ref.EMPTY)
    assert.ok(Array.isArray(vm.tags))
    assert.equal(typeof vm.other_config, 'object')
    assert.equal(vm.$pool.$ref, xapi.pool.$ref)
  },

  async 'reads a record by uuid and a field by reference'(xapi) {
    const vm = template(xapi)
    assert.equal((await xapi.getRecordByUuid('VM', vm.uuid)).$ref, vm.$ref)
    assert.equal(await xapi.getField('VM', vm.$ref, 'name_label'), vm.name_label)
    assert.equal(xapi.getObject(vm.uuid).$ref, vm.$ref)
  },

  async 'sees its own change after a barrier'(xapi) {
    const vm = await machine(xapi, 'barrier')
    assert.equal(vm.name_label, 'barrier')
    await vm.set_name_label('renamed')
    assert.equal((await xapi.barrier(vm.$ref)).name_label, 'renamed')
    await discard(xapi, vm.$ref)
    await xapi.barrier()
    assert.equal(xapi.getObjectByRef(vm.$ref, null), null)
  },

  async 'leaves no key of a barrier behind'(xapi) {
    await xapi.barrier()
    await waitUntil(async () => (await barrierKeys(xapi)).every(key => inherited.includes(key)))
  },

  async 'sets and removes entries of a map'(xapi) {
    const vm = await machine(xapi, 'maps')
    await vm.update_other_config('key', 'one')
    await vm.update_other_config('key', 'two')
    assert.equal((await xapi.barrier(vm.$ref)).other_config.key, 'two')
    await vm.update_other_config('key', null)
    assert.ok(!('key' in (await xapi.barrier(vm.$ref)).other_config))
    await discard(xapi, vm.$ref)
  },

  async 'adds and removes values of a set'(xapi) {
    const vm = await machine(xapi, 'sets')
    await vm.add_tags('a tag')
    assert.deepEqual((await xapi.barrier(vm.$ref)).tags, ['a tag'])
    await vm.remove_tags('a tag')
    assert.deepEqual((await xapi.barrier(vm.$ref)).tags, [])
    await discard(xapi, vm.$ref)
  },

  async 'follows a machine through its life by events'(xapi) {
    const { $ref: ref } = await machine(xapi, 'life')
    const state = expected => waitUntil(() => xapi.getObjectByRef(ref).power_state === expected)
    await xapi.callAsync('VM.start', ref, false, false)
    await state('Running')
    await xapi.callAsync('VM.suspend', ref)
    await state('Suspended')
    await xapi.callAsync('VM.resume', ref, false, false)
    await state('Running')
    await xapi.callAsync('VM.clean_shutdown', ref)
    await state('Halted')
    await discard(xapi, ref)
    await waitUntil(() => xapi.getObjectByRef(ref, null) === null)
  },

  async 'a task gives its result and is destroyed'(xapi) {
    const vm = await machine(xapi, 'tasks')
    const snapshot = await xapi.callAsync('VM.snapshot', vm.$ref, 'taken')
    assert.ok(Ref.isNotEmpty(snapshot))
    const record = await xapi.barrier(snapshot)
    assert.equal(record.is_a_snapshot, true)
    assert.equal(record.$snapshot_of.$ref, vm.$ref)
    await waitUntil(() => !all(xapi, 'task').some(task => task.status === 'success'))
    await discard(xapi, snapshot)
    await discard(xapi, vm.$ref)
  },

  async 'a task that fails carries the error'(xapi) {
    const vm = await machine(xapi, 'failing')
    await assert.rejects(
      xapi.callAsync('VM.clean_shutdown', vm.$ref),
      code('VM_BAD_POWER_STATE', vm.$ref, 'running', 'halted')
    )
    await discard(xapi, vm.$ref)
  },

  async 'errors carry their code and parameters'(xapi) {
    const ref = 'OpaqueRef:00000000-0000-4000-8000-000000000000'
    await assert.rejects(xapi.call('VM.get_record', ref), code('HANDLE_INVALID', 'VM', ref))
    await assert.rejects(xapi.call('VM.no_such', ref), code('MESSAGE_METHOD_UNKNOWN', 'VM.no_such'))
    await assert.rejects(xapi.call('VM.get_record'), code('MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.get_record', '2', '1'))
  },

  async 'twenty machines are started at the same time'(xapi) {
    const refs = await Promise.all(
      Array.from({ length: 20 }, (_, i) => xapi.callAsync('VM.clone', template(xapi).$ref, `many ${i}`))
    )
    assert.equal(new Set(refs).size, 20)
    await Promise.all(refs.map(ref => xapi.callAsync('VM.provision', ref)))
    await Promise.all(refs.map(ref => xapi.call('VM.set_memory', ref, 256 * 1024 * 1024)))
    await Promise.all(refs.map(ref => xapi.callAsync('VM.start', ref, false, false)))
    await xapi.barrier()
    for (const ref of refs) {
      assert.equal(xapi.getObjectByRef(ref).power_state, 'Running')
    }
    await Promise.all(refs.map(ref => discard(xapi, ref)))
  },

  async 'the number of tasks it counts is the number that the server tells'(xapi) {
    await xapi.barrier()
    const refetched = []
    const original = xapi._refreshCachedRecords
    xapi._refreshCachedRecords = function (types) {
      refetched.push(types)
      return original.call(this, types)
    }
    for (let i = 0; i < 5; ++i) {
      await xapi.barrier()
    }
    delete xapi._refreshCachedRecords
    assert.deepEqual(refetched, [])
  },

  async 'nothing was complained about'() {
    assert.deepEqual(warnings, [])
  },

  async 'logs in again when its session has ended'(xapi) {
    const before = xapi.sessionId
    await xapi._call('session.logout', [before])
    assert.equal((await xapi.getAllRecords('pool')).length, 1)
    assert.notEqual(xapi.sessionId, before)
    await xapi._objectsFetched
    await xapi.barrier()
  },
}

const server = await startServer()
const { http, https } = server.addresses
await run(
  'xen-api',
  server,
  {
    'json-rpc': client(http, 'json-rpc'),
    'xml-rpc': client(http, 'xml-rpc'),
    'auto, tls': client(https, 'auto'),
  },
  cases
)

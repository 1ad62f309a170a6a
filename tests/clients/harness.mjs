// Starts a server for a test script, and runs the script's cases: the same as harness.py, for Node.
//
// It knows how the program is started and stopped, and nothing of the API.

import { createInterface } from 'node:readline'
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const CASE_MS_MAX = 120e3
const READY_MS_MAX = 120e3
export const PASSWORD = 'correct horse battery staple'

const binary = () =>
  process.env.XENLEDGER_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug', 'xenledger')

export const delay = ms => new Promise(resolve => setTimeout(resolve, ms))

// Starts a server with a data folder of its own; resolves to its addresses by scheme once it is ready.
export async function startServer(...more) {
  const folder = mkdtempSync(join(tmpdir(), 'xenledger-'))
  const stderr = join(folder, 'stderr')
  const listen = ['--listen', '127.0.0.1:0', '--listen-tls', '127.0.0.1:0']
  const child = spawn(
    binary(),
    ['serve', '--data', join(folder, 'data'), ...listen, '--driver', 'sim', '--sim-speed', '50', ...more],
    { stdio: ['ignore', 'pipe', openSync(stderr, 'w')], env: { ...process.env, XENLEDGER_ROOT_PASSWORD: PASSWORD } }
  )
  const ended = new Promise(resolve => child.once('exit', resolve))
  const alarm = setTimeout(() => child.kill('SIGKILL'), READY_MS_MAX)
  const addresses = {}
  for await (const line of createInterface({ input: child.stdout })) {
    const address = /^listening on (\S+)/.exec(line)?.[1]
    if (address !== undefined) {
      addresses[address.split(':')[0]] = address
    }
    if (Object.keys(addresses).length === 2) {
      break
    }
  }
  clearTimeout(alarm)
  child.stdout.resume()
  const stop = async failed => {
    child.kill('SIGTERM')
    await ended
    if (failed) {
      const last = readFileSync(stderr, 'utf8').trimEnd().split('\n').slice(-20)
      console.log("  the end of the server's log:\n" + last.map(line => '  | ' + line).join('\n'))
    }
    rmSync(folder, { recursive: true, force: true })
  }
  if (Object.keys(addresses).length < 2) {
    await stop(true)
    throw new Error('the server did not become ready')
  }
  return { addresses, stop }
}

// Looks until `what()` is true. Running out of time is a failure, not a measurement.
export async function waitUntil(what, msMax = 60e3) {
  for (const deadline = Date.now() + msMax; ; await delay(10)) {
    const found = await what()
    if (found) {
      return found
    }
    if (Date.now() > deadline) {
      throw new Error(`waited ${msMax / 1e3} s in vain`)
    }
  }
}

const inTime = (promise, msMax) => {
  let alarm
  const late = new Promise((resolve, reject) => {
    alarm = setTimeout(() => reject(new Error(`not over after ${msMax / 1e3} s`)), msMax)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(alarm))
}

// Runs every case once a round; `rounds` maps a round's name to a function that opens the argument of its cases. Exits.
export async function run(title, server, rounds, cases, msMax = CASE_MS_MAX) {
  const only = process.argv.slice(2)
  let passed = 0
  let failed = 0
  for (const [round, open] of Object.entries(rounds)) {
    let argument
    for (const [label, body] of Object.entries(cases)) {
      if (only.length > 0 && !only.some(word => label.includes(word))) {
        continue
      }
      try {
        argument ??= await inTime(open(), msMax)
        await inTime(body(argument), msMax)
        ++passed
        console.log(`ok   ${round}: ${label}`)
      } catch (error) {
        ++failed
        console.log(`FAIL ${round}: ${label}: ${error.stack.replaceAll('\n', '\n  | ')}`)
      }
    }
    await argument?.disconnect()
  }
  await server.stop(failed > 0)
  console.log(`${title}: ${passed} passed, ${failed} failed`)
  process.exit(failed > 0 ? 1 : 0)
}

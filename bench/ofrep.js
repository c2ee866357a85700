// How many evaluations a second does one core serve through node:http, next to a bare Hono route that
// reads the same JSON and answers some; and how long does one of 1,000 features take, and its 304?
import { fork } from 'node:child_process';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { median, table } from './measure.js';

const isQuick = process.argv.includes('--quick');
const ROUNDS = isQuick ? 5 : 21;
const ROUND_MS = isQuick ? 300 : 1_000;
const CONNECTIONS = 32;
const FEATURES = 1_000;

const TOKEN = 'evaluate-0123456789abcdef0123456789abcdef';
const HEADERS = { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` };
const BODY = '{"context":{"targetingKey":"user-4711","plan":"pro","country":"US"}}';
const BULK = '/ofrep/v1/evaluate/flags';

/** A server in a process of its own, for which one core is left. */
async function serverOf(which) {
  const script = fileURLToPath(new URL('ofrep-server.js', import.meta.url));
  const child = fork(script, [which, TOKEN, String(FEATURES)]);
  const { port } = await new Promise((resolve) => child.once('message', resolve));
  const cpuUs = () =>
    new Promise((resolve) => {
      child.once('message', ({ cpu }) => resolve(cpu.user + cpu.system));
      child.send('cpu');
    });
  return { which, port, cpuUs, stop: () => child.disconnect(), rates: [], costs: [] };
}

/** Asks over and over on so many connections, each waiting for its answer; how many came. */
async function load(port, forMs) {
  const head = Object.entries({ host: '127.0.0.1', ...HEADERS, 'content-length': BODY.length });
  const lines = head.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const asked = `POST ${BULK}/feature-7 HTTP/1.1\r\n${lines}\r\n${BODY}`;
  const until = performance.now() + forMs;
  const counts = Array.from({ length: CONNECTIONS }, () => {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    return new Promise((resolve, reject) => {
      let count = 0;
      let got = '';
      socket.on('error', reject).on('connect', () => socket.write(asked));
      socket.on('data', (chunk) => {
        got += chunk.latin1Slice();
        const body = got.indexOf('\r\n\r\n') + 4;
        const [, length] = /content-length: (\d+)/i.exec(got) ?? [];
        if (body < 4 || got.length < body + Number(length)) return;
        if (!got.startsWith('HTTP/1.1 200')) reject(new Error(got));
        got = '';
        count++;
        if (performance.now() < until) socket.write(asked);
        else {
          socket.destroy();
          resolve(count);
        }
      });
    });
  });
  const all = await Promise.all(counts);
  return all.reduce((sum, count) => sum + count, 0);
}

const servers = [await serverOf('hono'), await serverOf('hanoi')];
const [bare, ours] = servers;
for (const { port } of servers) await load(port, 2 * ROUND_MS);
for (let round = 0; round < ROUNDS; round++) {
  for (const each of servers) {
    const before = await each.cpuUs();
    const start = performance.now();
    const count = await load(each.port, ROUND_MS);
    each.rates.push((count / (performance.now() - start)) * 1_000);
    each.costs.push(((await each.cpuUs()) - before) / count);
  }
}

const ratio = (of) => median(bare[of].map((value, round) => ours[of][round] / value));
console.log(
  table([
    ['one evaluation', 'a second', 'µs of CPU each'],
    ['a bare Hono route', Math.round(median(bare.rates)), median(bare.costs).toFixed(1)],
    ['OFREP', Math.round(median(ours.rates)), median(ours.costs).toFixed(1)],
    ['ratio', ratio('rates').toFixed(2), (1 / ratio('costs')).toFixed(2)],
  ]),
);

const agent = new Agent({ keepAlive: true, maxSockets: 1 });
/** Ms of a bulk evaluation as its client sees it, and the ETag. */
function bulk(more = {}) {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const options = { port: ours.port, path: BULK, method: 'POST', agent };
    const asking = request({ ...options, headers: { ...HEADERS, ...more } }, (response) => {
      const { statusCode: status, headers } = response;
      response.resume().on('end', () => {
        resolve({ ms: performance.now() - start, status, etag: headers.etag });
      });
    });
    asking.on('error', reject).end(BODY);
  });
}

const times = { 200: [], 304: [] };
for (let n = 0; n < (isQuick ? 100 : 500); n++) {
  const whole = await bulk();
  const same = await bulk({ 'if-none-match': whole.etag });
  // The first ones teach the compiler.
  if (n >= 50) for (const { ms, status } of [whole, same]) times[status].push(ms);
}
console.log();
console.log(
  table([
    [`all of ${FEATURES} features`, 'ms, median', 'p99'],
    ...Object.entries(times).map(([status, all]) => [
      `answered by ${status}`,
      median(all).toFixed(2),
      all.toSorted((a, b) => a - b)[Math.floor(all.length * 0.99)].toFixed(2),
    ]),
  ]),
);
agent.destroy();
for (const { stop } of servers) stop();

// Not the global one: a test can put its own in that place, which then waits to be told.
import { setImmediate } from 'node:timers';
import { setTimeout as delay } from 'node:timers/promises';
import {
  alreadyThere,
  changedMeanwhile,
  HanoiError,
  hasCode,
  notApplied,
  notFound,
  outcomeUnknown,
  shown,
} from '../../errors.js';
import {
  type AssignmentsWrite,
  type Head,
  KEEP_REMOVED_MS,
  MEMBERS_PER_WRITE,
  type MembersWrite,
  REQUEST_MEMORY_MS,
  type RecordedWrite,
  type Write,
  type Written,
} from '../backend.js';
import { type Connection, now, Refusal } from './connection.js';
import type { Keys } from './keys.js';
import type { Replicas } from './replicas.js';
import { ASSIGN, type Script, WRITE } from './scripts.js';
import { LONGEST_DOCUMENT, parseHead } from './stored.js';

/** After a connection broke under a write: before it is tried again. */
const PAUSE_MS = 10;

/** How often the server may say that it is later than it was thought to be. */
const MOST_LATE = 10;

type Reply =
  | readonly [outcome: 'done', serverNow: string, answer: string]
  | readonly [outcome: 'late' | 'exists' | 'missing' | 'changed' | 'corrupt', serverNow: string];

/** What names one write of a batch, to be repeated: the batch, and which of its ids. */
const IN_BATCH = /^([-0-9a-f]{36}\/each)\/(\d+)$/;

/** What a write did; of a batch, also whether each of its ids changed: a 1 or 0 for each. */
interface Answer extends Omit<Written, 'assigned'> {
  readonly flags: string;
}

/** Writes of one member each, asked in one turn with the same words: they travel as one. */
class Batch {
  readonly requestId = `${crypto.randomUUID()}/each`;
  readonly ids: string[] = [];
  readonly answer: Promise<Answer>;
  private begin: (answer: Promise<Answer>) => void = () => {};

  constructor(
    readonly kind: 'add' | 'remove',
    private readonly first: MembersWrite,
  ) {
    this.answer = new Promise((resolve) => {
      this.begin = resolve;
    });
  }

  takes(kind: 'add' | 'remove', { actor, note }: MembersWrite): boolean {
    const { first, ids } = this;
    return (
      kind === this.kind &&
      actor === first.actor &&
      note === first.note &&
      ids.length < MEMBERS_PER_WRITE
    );
  }

  send(run: (write: MembersWrite, requestId: string) => Promise<Answer>): void {
    const members = { add: undefined, remove: undefined, [this.kind]: this.ids };
    this.begin(run({ ...this.first, ...members }, this.requestId));
  }
}

/** Refusals of a cluster that is moving slots, or has just lost a master. */
const MOMENTARY = new Set(['TRYAGAIN', 'CLUSTERDOWN', 'MOVED', 'ASK']);

/** Applies writes, each by one script, and finds out what became of it. */
export class Writes {
  /** By feature: the batch that can still be joined. */
  private readonly batches = new Map<string, Batch>();

  constructor(
    private readonly connection: Connection,
    private readonly keys: Keys,
    private readonly historyLength: number,
    private readonly timeoutMs: number,
    /** Where writes have to be before they count as applied; undefined: on the master alone. */
    private readonly replicas: Replicas | undefined,
  ) {}

  /** As the contract has it of `write`. */
  async apply(write: Write): Promise<Written> {
    if ('assign' in write) return this.assign(write);
    if (isOfOneMember(write)) return this.join(write);
    // What was asked before is sent before.
    this.flush(write.name);
    const { requestId = crypto.randomUUID() } = write;
    const answer = await this.run(write, requestId, 'one');
    const { head, added, removed, flags } = answer;
    const place = flags === '' ? null : IN_BATCH.exec(requestId);
    if (place === null) return { head, added, removed, assigned: [] };
    return ofBatch(added > 0 ? 'add' : 'remove', head, flags, Number(place[2]));
  }

  private async join(write: MembersWrite): Promise<Written> {
    const { name, add = [], remove = [] } = write;
    const kind = add.length > 0 ? 'add' : 'remove';
    let batch = this.batches.get(name);
    if (!batch?.takes(kind, write)) {
      this.flush(name);
      const opened = new Batch(kind, write);
      this.batches.set(name, opened);
      setImmediate(() => {
        if (this.batches.get(name) === opened) this.flush(name);
      });
      batch = opened;
    }
    const at = batch.ids.push(...add, ...remove) - 1;
    try {
      const { head, flags } = await batch.answer;
      return ofBatch(kind, head, flags, at);
    } catch (error) {
      if (!hasCode(error, 'OUTCOME_UNKNOWN')) throw error;
      throw outcomeUnknown(name, `${batch.requestId}/${at}`, error.cause);
    }
  }

  /** Sends the feature's open batch, if there is one. */
  private flush(name: string): void {
    const batch = this.batches.get(name);
    this.batches.delete(name);
    batch?.send((write, requestId) => this.run(write, requestId, 'each'));
  }

  private async assign(write: AssignmentsWrite): Promise<Written> {
    const { name, expect, assign, among = [] } = write;
    refuseMany(name, assign.length);
    if (among.length === 0 && assign.some(({ value }) => value === undefined)) {
      throw refused(name, 'a value, or some to choose among', undefined);
    }
    const requestId = crypto.randomUUID();
    const request = this.keys.request(requestId);
    const answer = await this.send(
      name,
      requestId,
      ASSIGN,
      [this.keys.heads, this.keys.assigned, this.keys.weights, request],
      [
        name,
        ...expectedOf(expect),
        this.replicas === undefined ? 0 : REQUEST_MEMORY_MS,
        among.length,
        ...among,
        ...assign.flatMap(({ id, value = '', weight = 1 }) => [id, value, weight]),
      ],
      [request],
    );
    const [, head = null, added, ...assigned] = answer.split('\n');
    return { head: parseHead(head) as Head, added: Number(added), removed: 0, assigned };
  }

  private async run(
    write: RecordedWrite,
    requestId: string,
    mode: 'one' | 'each',
  ): Promise<Answer> {
    const { name } = write;
    const text = write.document ? JSON.stringify(write.document) : '';
    refuseUnfit(write, requestId, text);
    const keys = this.keysOf(write, requestId);
    const args = this.argumentsOf(write, requestId, text, mode);
    // The answer is kept by the name of this request, or of the batch that it was in before.
    const kept = [...new Set([keys[5], keys[8]])];
    return answerOf(name, await this.send(name, requestId, WRITE, keys, args, kept));
  }

  /** Runs the script, its deadline before these arguments, until its outcome is known. */
  private async send(
    name: string,
    requestId: string,
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
    /** One of these keys is written with it. */
    kept: readonly string[],
  ): Promise<string> {
    const deadline = now() + this.timeoutMs;
    // Whether an attempt is out of which nothing was heard. The next one either gets its answer,
    // by the request id, or finds that it was not applied. And the server knows the deadline, so
    // none is applied any more once this has given up.
    let isOut = false;
    let late = 0;
    let hasLeft = false;
    const failed = (cause: unknown) => {
      if (isOut) return outcomeUnknown(name, requestId, cause);
      return hasCode(cause, 'CLOSED') ? cause : notApplied(name, cause);
    };
    for (;;) {
      await this.connection.ready(deadline, true).catch((cause) => {
        throw failed(cause);
      });
      const until = this.connection.serverTime(deadline);
      const sentAt = now();
      let reply: Reply;
      try {
        const sent = this.connection.run(script, keys, [until, ...args]);
        reply = (await this.connection.by(deadline, sent)) as Reply;
      } catch (cause) {
        const isRefusal = cause instanceof Refusal;
        // Behind the same address there may be another master by now.
        const isElsewhere = isRefusal && cause.word === 'READONLY' && !hasLeft;
        if (isElsewhere) hasLeft = this.connection.leave(sentAt);
        const isMomentary = isRefusal && (hasLeft || MOMENTARY.has(cause.word));
        // Sent without a time, it only asked for it.
        if (!isRefusal && until > 0) isOut = true;
        const isLost = !isRefusal && hasCode(cause, 'STORE_UNAVAILABLE');
        if (!(isLost || isMomentary) || now() + PAUSE_MS >= deadline) throw failed(cause);
        await delay(PAUSE_MS);
        continue;
      }
      const [outcome, serverNow, answer] = reply;
      this.connection.learnTime(Number(serverNow));
      if (outcome === 'late') {
        if (now() < deadline && late++ < MOST_LATE) continue;
        throw failed(new HanoiError('STORE_TIMEOUT', 'It came to Redis after its deadline.'));
      }
      if (outcome !== 'done') throw refusal(outcome, answer ?? name);
      await this.replicas?.confirm(kept, deadline).catch((cause) => {
        throw outcomeUnknown(name, requestId, cause);
      });
      return answer as string;
    }
  }

  private keysOf({ name, document }: RecordedWrite, requestId: string) {
    const { keys } = this;
    const kind = document === undefined ? 'members' : 'documents';
    return [
      keys.features,
      keys.heads,
      keys.token,
      keys.history(kind, name),
      keys.log(kind),
      keys.request(requestId),
      keys.users,
      keys.channel,
      keys.request(IN_BATCH.exec(requestId)?.[1] ?? requestId),
      keys.assigned,
      keys.weights,
    ] as const;
  }

  /** All of the script's ARGV after the deadline. */
  private argumentsOf(
    write: RecordedWrite,
    requestId: string,
    text: string,
    mode: 'one' | 'each',
  ): (string | number)[] {
    const { name, expect, document, actor, note, beside = new Map() } = write;
    const memberCount = write.document ? write.memberCount : undefined;
    const { add, remove, release } = idsOf(write);
    return [
      // Any random text will do where the store has none yet.
      requestId.replaceAll(':', '').slice(0, 8) || '0',
      name,
      ...expectedOf(expect),
      document === undefined ? 'members' : document === null ? 'remove' : 'put',
      text,
      document?.id ?? '',
      document?.revision ?? '',
      this.historyLength,
      KEEP_REMOVED_MS,
      REQUEST_MEMORY_MS,
      JSON.stringify({ actor, note }),
      mode,
      add.length,
      remove.length,
      typeof expect === 'string' ? '' : (expect.members ?? ''),
      memberCount ?? '',
      beside.size,
      ...Array.from(beside, ([other, head]) => [other, documentPart(head)]).flat(),
      ...add,
      ...remove,
      ...release,
    ];
  }
}

function documentPart(head: Head | undefined): string {
  return head === undefined ? '' : `${head.id}:${head.revision}:${head.document}`;
}

function expectedOf(expect: Write['expect']): [string, string, string | number] {
  if (typeof expect === 'string') return [expect, '', ''];
  return ['id', expect.id, expect.revision ?? ''];
}

function idsOf(write: RecordedWrite) {
  const { add = [], remove = [] } = write.document === null ? {} : write;
  const { release = [] } = 'release' in write ? write : {};
  return { add, remove, release };
}

/** More come in several writes. */
function refuseMany(name: string, ids: number): void {
  if (ids > MEMBERS_PER_WRITE) throw refused(name, `at most ${MEMBERS_PER_WRITE} ids`, ids);
}

/** INVALID_ARGUMENT for what no backend takes. */
function refuseUnfit(write: RecordedWrite, requestId: string, text: string): void {
  const { add, remove, release } = idsOf(write);
  refuseMany(write.name, add.length + remove.length);
  refuseMany(write.name, release.length);
  if (text.length > LONGEST_DOCUMENT) {
    const expected = `a document of at most ${LONGEST_DOCUMENT} characters`;
    throw refused(write.name, expected, text.length);
  }
  if (requestId === '' || !requestId.isWellFormed()) {
    throw refused(write.name, 'a well-formed request id', requestId);
  }
}

/** Whether it lets in or takes out one member, whoever else is there, and is asked the first time. */
function isOfOneMember(write: RecordedWrite): write is MembersWrite {
  const { add, remove } = idsOf(write);
  return (
    write.document === undefined &&
    write.expect === 'present' &&
    write.requestId === undefined &&
    add.length + remove.length === 1
  );
}

function answerOf(name: string, answer: string): Answer {
  const [answered, head = null, added, removed, flags = ''] = answer.split('\n');
  if (answered !== name) throw refused(name, 'a request id of its own', `${answered}'s`);
  return { head: parseHead(head) as Head, added: Number(added), removed: Number(removed), flags };
}

/** What one write of a batch did. */
function ofBatch(kind: 'add' | 'remove', head: Head, flags: string, at: number): Written {
  const changed = Number(flags[at]);
  const none = { head, added: 0, removed: 0, assigned: [] };
  return { ...none, [kind === 'add' ? 'added' : 'removed']: changed };
}

function refusal(outcome: 'exists' | 'missing' | 'changed' | 'corrupt', name: string): HanoiError {
  switch (outcome) {
    case 'exists':
      return alreadyThere(name);
    case 'missing':
      return notFound(name);
    case 'changed':
      return changedMeanwhile(name);
    case 'corrupt':
      return new HanoiError(
        'CORRUPT_FEATURE',
        `What is stored of ${JSON.stringify(name)} can't be read, so its members are not touched. ` +
          'Remove the feature and create it again, or mend it.',
        { feature: name },
      );
  }
}

function refused(feature: string, expected: string, got: unknown): HanoiError {
  return new HanoiError('INVALID_ARGUMENT', `Expected ${expected} in a write, got ${shown(got)}.`, {
    feature,
  });
}

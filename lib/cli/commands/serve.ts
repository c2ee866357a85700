import { HanoiError } from '../../errors.js';
import type { Access, Token } from '../../http/index.js';
import { EXIT } from '../failure.js';
import { titleOf } from '../place.js';
import type { Session } from '../session.js';

export interface ServeCommandOptions {
  readonly host?: string;
  readonly port?: number;
  /** Writes too. */
  readonly admin?: boolean;
  readonly anonymous?: 'evaluate' | 'read';
  readonly allowHost?: readonly string[];
  readonly origin?: readonly string[];
}

/** Not options: what a process was started with, everybody on the machine can see. */
const TOKENS: { readonly [access in Access]: string } = {
  evaluate: 'HANOI_EVALUATE_TOKEN',
  read: 'HANOI_READ_TOKEN',
  admin: 'HANOI_ADMIN_TOKEN',
};

/** Until Ctrl-C, or SIGTERM: then what is under way comes to its end. */
export async function serveFeatures(
  session: Session,
  { admin = false, allowHost, origin, ...options }: ServeCommandOptions,
): Promise<number> {
  const { rollout, terminal, place, timeoutMs } = session;
  const { serve } = await import('../../http/index.js').catch((cause) => {
    throw isMissing(cause)
      ? new HanoiError(
          'INVALID_ARGUMENT',
          'Expected the packages hono, @hono/node-server and zod, which are not installed: npm install hono @hono/node-server zod.',
          { cause },
        )
      : cause;
  });
  const { state } = await rollout.ready({ timeoutMs });
  if (state !== 'ready') terminal.warn(`${titleOf(place)} does not answer yet (${state}).\n`);
  const tokens = tokensIn(terminal.env);
  const stopped = signalled();
  const served = await serve(rollout, {
    ...options,
    ...{ mode: admin ? 'admin' : 'read-only', tokens },
    ...(allowHost !== undefined && { hosts: allowHost }),
    ...(origin !== undefined && { origins: origin }),
    onError: (error) => terminal.warn(`${(error as Error).name}: an answer failed\n`),
  });
  try {
    if (session.isJson)
      await terminal.printJsonLine({ url: served.url, token: served.token ?? null });
    else {
      await terminal.print(
        `${titleOf(place)} is served at ${served.url} (${admin ? 'read and write' : 'read-only: with --admin it can be steered'})`,
        'The page is there, and the API: see /docs.',
        ...(served.token === undefined
          ? []
          : [`Sign in with the token for this run: ${served.token}`]),
      );
    }
    await stopped;
  } finally {
    await served.close();
  }
  return EXIT.done;
}

function tokensIn(env: { readonly [name: string]: string | undefined }): Token[] {
  return Object.entries(TOKENS).flatMap(([access, name]) => {
    const token = env[name];
    return token ? [{ token, access: access as Access }] : [];
  });
}

/** A second signal ends the process at once. */
function signalled(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve());
  });
}

function isMissing(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
}

import type { Feature } from '../../domain/feature.js';
import { notFound } from '../../errors.js';
import type { Rollout, Unreadable } from '../../rollout.js';
import type { WriteOptions } from '../../writer.js';
import type { Arrival } from '../arrival.js';
import { type Caller, reaches } from '../credentials.js';
import type { Gate } from '../gate.js';
import { hostOf } from '../origins.js';
import { problemOf, Refusal } from '../problem.js';
import { ACTIONS, type Action, changedBy, refuseOtherName, refuseStale } from './actions.js';
import { addField, addPage } from './add-page.js';
import { previewPage, tryPage, whyPage } from './asks.js';
import { assetResponse } from './assets.js';
import { ChangeStreams } from './change-streams.js';
import { changesPage } from './changes-page.js';
import { featurePage, historyPage } from './feature-page.js';
import { Fields, readFields } from './fields.js';
import { FormToken } from './form-token.js';
import { LeftoverCache } from './leftover-cache.js';
import { listPage } from './list-page.js';
import { isFromElsewhere, onwardPage } from './onward-page.js';
import { isOpenOutcome, problemPage, refusedPage } from './refusals.js';
import { pathWithin, signInPage } from './sign-in-page.js';
import { documentOf, unreadablePage } from './unreadable-page.js';
import { featureUrl, type Visit } from './visit.js';

/** What the page is made of. */
interface Parts {
  readonly rollout: Rollout;
  readonly gate: Gate;
  readonly isReadOnly: boolean;
  /** There are tokens, so that somebody can sign in with one. */
  readonly hasTokens: boolean;
  readonly maxBodyBytes: number;
  readonly report: (error: unknown) => void;
}

interface PageRoute {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly answer: (request: Request, env: Arrival) => Promise<Response>;
}

/** Pages and forms for people: to see who gets what, and to steer it. */
export class AdminPage {
  readonly routes: readonly PageRoute[];

  private readonly streams: ChangeStreams;
  private readonly leftovers: LeftoverCache;

  constructor(private readonly parts: Parts) {
    this.streams = new ChangeStreams(parts.rollout);
    this.leftovers = new LeftoverCache(parts.rollout, parts.report);
    this.routes = [
      this.page('/', (visit) => listPage(visit, this.leftovers.get())),
      this.page('/changes', changesPage),
      this.page('/feature', async (visit) =>
        featurePage(visit, nameIn(visit), this.leftovers.get()),
      ),
      this.page('/feature/history', (visit) => historyPage(visit, nameIn(visit))),
      this.page('/add', async (visit) => addPage(visit)),
      this.form('/add', true, (visit) => this.add(visit)),
      this.form('/feature', true, (visit) => this.write(visit)),
      this.form('/feature/preview', false, (visit) => this.preview(visit)),
      this.form('/feature/why', false, async (visit) => whyPage(visit, await this.seen(visit))),
      this.form('/feature/try', false, (visit) => this.tried(visit)),
      { method: 'GET', path: '/sign-in', answer: (request, env) => this.askToken(request, env) },
      { method: 'POST', path: '/sign-in', answer: (request, env) => this.signIn(request, env) },
      { method: 'POST', path: '/sign-out', answer: (request, env) => this.signOut(request, env) },
      { method: 'GET', path: '/events', answer: (request, env) => this.listen(request, env) },
      { method: 'GET', path: '/assets/:name', answer: async (request) => assetOf(request) },
    ];
  }

  /** Ends the streams. */
  close(): void {
    this.streams.close();
  }

  private page(path: string, show: (visit: Visit) => Promise<Response>): PageRoute {
    const answer = (request: Request, env: Arrival) =>
      this.guarded(request, env, async (token) => {
        const caller = await this.admitted(request, env, false);
        if (caller instanceof Response) return caller;
        return this.shown(this.visitOf(request, env, caller, token), show);
      });
    return { method: 'GET', path, answer };
  }

  private form(
    path: string,
    writes: boolean,
    take: (visit: Visit) => Promise<Response>,
  ): PageRoute {
    const answer = (request: Request, env: Arrival) =>
      this.guarded(request, env, async (token) => {
        const caller = await this.admitted(request, env, writes);
        if (caller instanceof Response) return caller;
        const fields = await readFields(request, env, this.parts.maxBodyBytes);
        const visit = this.visitOf(request, env, caller, token, fields);
        if (!token.fits(fields.text('form'), caller.actor)) {
          return problemPage(problemOf(strangeForm()), env.base, visit);
        }
        return this.shown(visit, take);
      });
    return { method: 'POST', path, answer };
  }

  /** With the cookie that forms go by; what is thrown becomes a page. */
  private async guarded(
    request: Request,
    env: Arrival,
    answer: (token: FormToken) => Promise<Response>,
  ): Promise<Response> {
    if (isFromElsewhere(request)) return onwardPage(request, env.base);
    const token = FormToken.of(request);
    let response: Response;
    try {
      response = await answer(token);
    } catch (error) {
      response = this.problem(error, env.base);
    }
    const cookie = token.cookie(env.base, isSecure(request));
    if (cookie !== undefined) response.headers.append('set-cookie', cookie);
    return response;
  }

  private async shown(visit: Visit, show: (visit: Visit) => Promise<Response>): Promise<Response> {
    try {
      return await show(visit);
    } catch (error) {
      return this.problem(error, visit.base, visit);
    }
  }

  private problem(error: unknown, base: string, visit?: Visit): Response {
    const problem = problemOf(error);
    if (problem.status === 500) this.parts.report(error);
    const headers = error instanceof Refusal ? error.fields.headers : undefined;
    return problemPage(problem, base, visit, headers, this.parts.hasTokens);
  }

  /** Who asks; or where they can say who they are. */
  private async admitted(
    request: Request,
    env: Arrival,
    writes: boolean,
  ): Promise<Caller | Response> {
    try {
      const caller = await this.parts.gate.admit(request, env, writes ? 'admin' : 'read', writes);
      return caller as Caller;
    } catch (error) {
      const isNobody = error instanceof Refusal && error.code === 'UNAUTHENTICATED';
      if (!isNobody || !this.parts.hasTokens || request.method === 'POST') throw error;
      const { pathname, search } = new URL(request.url);
      const next = pathname.slice(env.base.length) + search;
      const query = next === '/' || next === '' ? '' : `?next=${encodeURIComponent(next)}`;
      return redirect(`${env.base}/sign-in${query}`);
    }
  }

  private visitOf(
    request: Request,
    { base }: Arrival,
    caller: Caller,
    token: FormToken,
    fields: Fields = Fields.none,
  ): Visit {
    const { rollout, isReadOnly, hasTokens, gate } = this.parts;
    const isBegun = gate.sessions.callerOf(request.headers.get('cookie')) !== undefined;
    return {
      rollout: isReadOnly ? rollout : rollout.as(caller.actor),
      caller,
      canWrite: !isReadOnly && reaches(caller, 'admin'),
      session: isBegun ? 'begun' : hasTokens ? 'possible' : 'none',
      base,
      query: new URL(request.url).searchParams,
      fields,
      formToken: token.for(caller.actor),
      nonce: crypto.randomUUID(),
      now: Date.now(),
    };
  }

  private askToken(request: Request, env: Arrival): Promise<Response> {
    return this.guarded(request, env, async (token) => {
      const { gate, hasTokens } = this.parts;
      await gate.admit(request, env, 'nobody', false);
      if (!hasTokens) throw new Refusal('NO_SUCH_ROUTE');
      if (gate.sessions.callerOf(request.headers.get('cookie'))) return redirect(`${env.base}/`);
      const next = pathWithin(new URL(request.url).searchParams.get('next') ?? '/');
      return signInPage({ base: env.base, formToken: token.for(''), next });
    });
  }

  private signIn(request: Request, env: Arrival): Promise<Response> {
    return this.guarded(request, env, async (token) => {
      const { gate, maxBodyBytes } = this.parts;
      const { base } = env;
      await gate.admit(request, env, 'nobody', false);
      const fields = await readFields(request, env, maxBodyBytes);
      if (!token.fits(fields.text('form'), '')) throw strangeForm();
      const next = pathWithin(fields.text('next'));
      const again = (error: Refusal, wrong: string) => {
        const { status } = problemOf(error);
        const headers = error.fields.headers ?? {};
        return signInPage({ base, formToken: token.for(''), next, wrong, status, headers });
      };
      try {
        const caller = gate.callerByToken(fields.text('secret'), env, request);
        if (!reaches(caller, 'read')) {
          return again(new Refusal('FORBIDDEN'), 'This token may only evaluate, not look on.');
        }
        const cookie = gate.sessions.begin(caller, base, isSecure(request));
        // The list comes next.
        this.leftovers.get();
        const response = redirect(`${base}${next}`);
        if (cookie !== undefined) response.headers.append('set-cookie', cookie);
        return response;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        const isTooMany = error.code === 'TOO_MANY_REQUESTS';
        return again(
          error,
          isTooMany
            ? 'Too many tokens that are not known came from your address. Wait a minute.'
            : 'This token is not known here.',
        );
      }
    });
  }

  private signOut(request: Request, env: Arrival): Promise<Response> {
    return this.guarded(request, env, async (token) => {
      const { gate, maxBodyBytes } = this.parts;
      await gate.admit(request, env, 'nobody', false);
      const fields = await readFields(request, env, maxBodyBytes);
      const caller = gate.sessions.callerOf(request.headers.get('cookie'));
      if (caller !== undefined && !token.fits(fields.text('form'), caller.actor)) {
        throw strangeForm();
      }
      const response = redirect(`${env.base}/sign-in`);
      response.headers.append('set-cookie', gate.sessions.end(env.base, isSecure(request)));
      return response;
    });
  }

  private async listen(request: Request, env: Arrival): Promise<Response> {
    try {
      await this.parts.gate.admit(request, env, 'read', false);
      return this.streams.answer(request, env);
    } catch (error) {
      return this.problem(error, env.base);
    }
  }

  /** The feature that a form is about, as it is now. FEATURE_NOT_FOUND. */
  private async seen(visit: Visit): Promise<Feature> {
    const name = nameIn(visit);
    const feature = await visit.rollout.get(name);
    if (feature === undefined) throw notFound(name);
    return feature;
  }

  private async preview(visit: Visit): Promise<Response> {
    const action = actionIn(visit);
    const feature = await this.seen(visit);
    try {
      refuseStale(feature, stateIn(visit));
      return await previewPage(visit, feature, visit.fields.text('do'), action);
    } catch (error) {
      return this.refused(visit, action, error);
    }
  }

  private async tried(visit: Visit): Promise<Response> {
    const feature = await this.seen(visit);
    try {
      return tryPage(visit, feature);
    } catch (error) {
      return this.refused(visit, ACTIONS['pattern-add'] as Action, error);
    }
  }

  private async write(visit: Visit): Promise<Response> {
    const name = nameIn(visit);
    if (visit.fields.text('do') === 'restore') return this.restore(visit, name);
    const action = actionIn(visit);
    const { fields, rollout, base } = visit;
    try {
      const feature = await this.seen(visit);
      const write = { ...writeOf(visit), expect: stateIn(visit) };
      if (action.run !== undefined) {
        await action.run(rollout, feature, fields, write);
      } else {
        const settings = (document: Feature) => changedBy(action, document, fields);
        await rollout.update(name, settings, write);
      }
      if (action === ACTIONS.remove) {
        return redirect(`${base}/?removed=${encodeURIComponent(name)}`);
      }
      return redirect(`${featureUrl(visit, name)}&saved=1#saved`);
    } catch (error) {
      const { unreadable } = await documentOf(rollout, name);
      if (unreadable !== undefined) return this.mended(visit, unreadable);
      return this.refused(visit, action, error);
    }
  }

  /** What can be done about a document that can't be read: to roll it back, or to remove it. */
  private async mended(visit: Visit, unreadable: Unreadable): Promise<Response> {
    const { fields, rollout, base } = visit;
    const { name, state, problem } = unreadable;
    try {
      // Where the store has lost the state too, a write can't name it.
      const expect = state === undefined && fields.text('id') === '' ? state : stateIn(visit);
      const write = { ...writeOf(visit), ...(expect !== undefined && { expect }) };
      switch (fields.text('do')) {
        case 'rollback':
          // Its users are no part of what can't be read.
          await rollout.rollback(name, fields.text('change'), { ...write, members: 'keep' });
          return redirect(`${featureUrl(visit, name)}&saved=1#saved`);
        case 'remove':
          refuseOtherName(name, fields);
          await rollout.remove(name, write);
          return redirect(`${base}/?removed=${encodeURIComponent(name)}`);
        default:
          throw problem;
      }
    } catch (error) {
      const refused = problemOf(error);
      if (refused.status === 500) throw error;
      return unreadablePage(visit, unreadable, refused);
    }
  }

  private async restore(visit: Visit, name: string): Promise<Response> {
    const { rollout, fields } = visit;
    const members = fields.has('alone') ? 'none' : 'keep';
    await rollout.restore(name, { ...writeOf(visit), members });
    return redirect(`${featureUrl(visit, name)}&saved=1#saved`);
  }

  private async add(visit: Visit): Promise<Response> {
    const { rollout, fields } = visit;
    const name = fields.text('name');
    const [description, owner] = [fields.text('description'), fields.text('owner')];
    try {
      const settings = {
        percentage: fields.text('percentage') === '' ? 0 : fields.number('percentage'),
        variants: fields.lines('variants'),
        data: { ...(description !== '' && { description }), ...(owner !== '' && { owner }) },
      };
      await rollout.addFeature(name, settings, writeOf(visit));
      return redirect(`${featureUrl(visit, name)}&saved=1#saved`);
    } catch (error) {
      const problem = problemOf(error);
      if (problem.status === 500) throw error;
      const mistake = { message: problem.detail, field: addField(problem.path) };
      return addPage(visit, mistake, problem.status);
    }
  }

  /** With the form, where the feature is still there to show it of. */
  private async refused(visit: Visit, action: Action, error: unknown): Promise<Response> {
    const problem = problemOf(error);
    if (problem.status === 500) throw error;
    const feature = await visit.rollout.get(nameIn(visit));
    if (feature === undefined) throw error;
    const { id, revision } = feature;
    const expect = stateIn(visit);
    const isOpen = isOpenOutcome(error);
    const isStale = !isOpen && (expect.id !== id || expect.revision !== revision);
    return refusedPage(visit, { problem, action, feature, isStale, isOpen });
  }
}

function redirect(location: string): Response {
  return new Response(null, { status: 303, headers: { location, 'cache-control': 'no-store' } });
}

/** INVALID_REQUEST, also for control characters: what is stored beside features has names with some. */
function nameIn({ query }: Visit): string {
  const name = query.get('name') ?? '';
  if (name !== '' && !/\p{Cc}/u.test(name)) return name;
  throw new Refusal('INVALID_REQUEST', 'The address names no feature.');
}

/** INVALID_REQUEST. */
function actionIn({ fields }: Visit): Action {
  const name = fields.text('do');
  if (Object.hasOwn(ACTIONS, name)) return ACTIONS[name] as Action;
  throw new Refusal('INVALID_REQUEST', 'The form does not say what to do.');
}

/** The state that was seen. INVALID_REQUEST. */
function stateIn({ fields }: Visit): { id: string; revision: number } {
  const [id, revision] = [fields.text('id'), fields.text('revision')];
  if (id !== '' && /^\d{1,15}$/.test(revision)) return { id, revision: Number(revision) };
  throw new Refusal('INVALID_REQUEST', 'The form does not say which state it shows.');
}

function writeOf({ fields }: Visit): Pick<WriteOptions, 'note' | 'requestId'> {
  const note = fields.text('note').slice(0, 1_000);
  return {
    ...(note !== '' && { note }),
    // The same form with the same text, sent twice, is one write.
    requestId: `page-${fields.digest()}`,
  };
}

function strangeForm(): Refusal {
  return new Refusal(
    'FORBIDDEN',
    'The form was not given out to this browser, or too long ago. Load the page again; over plain http, browsers keep its cookie on the machine itself alone.',
  );
}

function assetOf(request: Request): Response {
  const { pathname } = new URL(request.url);
  const name = pathname.slice(pathname.lastIndexOf('/') + 1);
  const response = assetResponse(request, name);
  if (response === undefined) throw new Refusal('NO_SUCH_ROUTE');
  return response;
}

/** Browsers keep a Secure cookie for https alone; on the machine itself there is none. */
function isSecure(request: Request): boolean {
  const host = hostOf(request).replace(/:\d+$/, '').toLowerCase();
  return !/^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(host);
}

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMatch } from '../etag.js';
import folder from './assets/folder.cjs';

interface Asset {
  readonly type: string;
  /** The files that it is made of, one after the other. */
  readonly files: readonly string[];
}

const CSS = 'text/css; charset=utf-8';

const ASSETS: { readonly [name: string]: Asset } = {
  'page.css': { type: CSS, files: ['base.css', 'page.css'] },
  'docs.css': { type: CSS, files: ['base.css', 'docs.css'] },
  'page.js': { type: 'text/javascript; charset=utf-8', files: ['page.js'] },
  'icon.svg': { type: 'image/svg+xml', files: ['icon.svg'] },
};

interface Loaded {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly hash: string;
}

/** Each is read once, when it is first asked for. */
const loaded = new Map<string, Loaded>();

/** The address of an asset, which says its content: what it answers can be kept for ever. */
export function assetUrl(base: string, name: keyof typeof ASSETS & string): string {
  return `${base}/assets/${name}?v=${load(name, ASSETS[name] as Asset).hash}`;
}

/** The answer to a request for `/assets/{name}`; undefined where there is no such asset. */
export function assetResponse(request: Request, name: string): Response | undefined {
  if (!Object.hasOwn(ASSETS, name)) return undefined;
  const asset = ASSETS[name] as Asset;
  const { bytes, hash } = load(name, asset);
  const isNamed = new URL(request.url).searchParams.get('v') === hash;
  const headers = {
    'content-type': asset.type,
    'cache-control': isNamed ? 'public, max-age=31536000, immutable' : 'no-cache',
    etag: `"${hash}"`,
    'x-content-type-options': 'nosniff',
  };
  if (isMatch(request.headers.get('if-none-match'), headers.etag)) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(bytes, { headers });
}

function load(name: string, { files }: Asset): Loaded {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const bytes = Buffer.concat(files.map((file) => readFileSync(join(folder, file))));
  const hash = createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
  const asset = { bytes: Uint8Array.from(bytes), hash };
  loaded.set(name, asset);
  return asset;
}

// One source, two builds: ESM for `import`, CommonJS for `require`. The package is
// `"type": "module"`, so the second folder says for itself what it holds.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ASSETS = 'lib/http/page/assets';
const tsc = fileURLToPath(new URL('node_modules/typescript/bin/tsc', import.meta.url));
process.chdir(fileURLToPath(new URL('.', import.meta.url)));
rmSync('dist', { recursive: true, force: true });
for (const build of ['esm', 'cjs']) {
  execFileSync(process.execPath, [tsc, '-p', `tsconfig.${build}.json`], { stdio: 'inherit' });
  // Styles and script of the page: what is sent to browsers is no code of the package.
  for (const file of readdirSync(ASSETS).filter((name) => /\.(css|js|svg)$/.test(name))) {
    copyFileSync(`${ASSETS}/${file}`, `dist/${build}/http/page/assets/${file}`);
  }
}
mkdirSync('dist/cjs', { recursive: true });
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n');

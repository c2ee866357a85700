// The page, on features in memory that are filled in: `npm start`.
import { serve } from 'hanoi/http';
import { filled } from './filled.js';

const rollout = await filled();
const { url, token } = await serve(rollout, {
  mode: 'admin',
  port: Number(process.env.PORT ?? 4200),
});
console.log(`The page is at ${url}\nSign in with this token: ${token}\n\nCtrl-C ends it.`);

/**
 * Control characters, halves of surrogate pairs, and marks that turn or hide text: on a terminal
 * they would do something, or show something else than is there.
 */
const UNPRINTABLE =
  /[\p{Cc}\p{Cs}\u061C\u200B-\u200F\u2028\u2029\u202A-\u202E\u2060-\u2069\uFEFF\u{E0000}-\u{E007F}]/gu;

/** The text in one line, as it can be shown: what is stored was not written for this terminal. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => escapeOf(character, 'u{'));
}

/** JSON in which nothing but its own line breaks is unprintable. Undefined counts as null. */
export function printableJson(value: unknown, indent?: number): string {
  const text = JSON.stringify(value ?? null, undefined, indent);
  return text.replace(UNPRINTABLE, (character) =>
    character === '\n' ? character : escapeOf(character, 'u'),
  );
}

function escapeOf(character: string, kind: 'u' | 'u{'): string {
  if (kind === 'u{') {
    const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character];
    return short ?? `\\u{${(character.codePointAt(0) as number).toString(16)}}`;
  }
  let escaped = '';
  for (let at = 0; at < character.length; at++) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uFF01-\uFF60]/u;
const NO_WIDTH = /[\p{Mn}\p{Me}]/u;

/** How many columns of a terminal printable text takes. */
export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    if (NO_WIDTH.test(character)) continue;
    width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

/** The text in at most so many columns. */
export function fitted(text: string, columns: number): string {
  if (widthOf(text) <= columns) return text;
  let fit = '';
  let width = 0;
  for (const character of text) {
    width += widthOf(character);
    if (width > columns - 1) break;
    fit += character;
  }
  return `${fit}…`;
}

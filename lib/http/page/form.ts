import { html } from 'hono/html';
import type { Feature } from '../../domain/feature.js';
import type { Fields } from './fields.js';
import type { Mistake } from './layout.js';
import { featureUrl, type Html, type Visit } from './visit.js';

/** What was typed into a form that was refused. */
export interface Draft extends Mistake {
  readonly fields: Fields;
}

/** Of what there is or was. */
export type Seen = Pick<Feature, 'name' | 'id' | 'revision'>;

interface FormOptions {
  /** Where it is sent, under the feature: nothing is a write. */
  readonly part?: string;
  readonly body?: Html | readonly Html[];
  readonly buttons: Html | readonly Html[];
  /** To say why, for the history. */
  readonly noteFor?: string | undefined;
  readonly draft?: Draft | undefined;
  readonly className?: string;
  /** For the module: what it does with it. */
  readonly live?: string;
}

/** A form about a feature: it says which state of it was seen, so that a stale one is refused. */
export function formOf(visit: Visit, seen: Seen, options: FormOptions): Html {
  const { part = '', body = '', buttons, noteFor, draft, className = '', live } = options;
  return html`<form method="post" action="${featureUrl(visit, seen.name, part)}" class="${className}"${live === undefined ? '' : html` data-live="${live}"`}>
<input type="hidden" name="form" value="${visit.formToken}"><input type="hidden" name="nonce" value="${visit.nonce}"><input type="hidden" name="id" value="${seen.id}"><input type="hidden" name="revision" value="${seen.revision}">
${body}
<div class="send">${
    noteFor === undefined
      ? ''
      : html`<label class="note" for="${noteFor}-note"><span>Why <span class="quiet">(for the history)</span></span><input id="${noteFor}-note" name="note" maxlength="1000" autocomplete="off" value="${draft?.fields.text('note') ?? ''}"></label>`
  }<div class="buttons">${buttons}</div></div>
</form>`;
}

/** A button that says what to do. */
export function button(action: string, text: Html | string, kind: string = ''): Html {
  return html`<button name="do" value="${action}" class="${kind}">${text}</button>`;
}

/** One that first shows who would gain and lose. */
export function previewButton(visit: Visit, { name }: Seen, action: string): Html {
  return html`<button name="do" value="${action}" class="secondary" formaction="${featureUrl(visit, name, '/preview')}">Preview</button>`;
}

interface FieldOptions {
  /** What the form is: the ids of its fields begin so. */
  readonly key: string;
  readonly name: string;
  readonly label: Html | string;
  readonly value?: string;
  readonly hint?: Html | string;
  readonly draft?: Draft | undefined;
  /** A text of lines; else one line. */
  readonly rows?: number;
  readonly type?: string;
  readonly isCode?: boolean;
  readonly inputMode?: string;
  readonly list?: string;
  readonly required?: boolean;
  readonly className?: string;
}

/** A field with its label, and with what is wrong with it. */
export function fieldOf(options: FieldOptions): Html {
  const { key, name, label, hint, draft, rows, isCode = false, required = false } = options;
  const { type = 'text', inputMode, list, className = '' } = options;
  const id = `${key}-${name}`;
  const value = draft?.fields.raw(name) ?? options.value ?? '';
  const isWrong = draft?.field === id;
  const described = [...(hint ? [`${id}-hint`] : []), ...(isWrong ? [`${id}-error`] : [])];
  const attributes = html`id="${id}" name="${name}" autocomplete="off"${isCode ? html` spellcheck="false"` : ''}${
    described.length > 0 ? html` aria-describedby="${described.join(' ')}"` : ''
  }${isWrong ? html` aria-invalid="true"` : ''}${required ? html` required` : ''}`;
  const input =
    rows === undefined
      ? html`<input type="${type}" ${attributes}${inputMode ? html` inputmode="${inputMode}"` : ''}${list ? html` list="${list}"` : ''} value="${value}">`
      : // The first newline of a textarea's text is not a part of it.
        html`<textarea ${attributes} rows="${rows}"${isCode ? html` class="code"` : ''}>
${value}</textarea>`;
  return html`<div class="field ${className}"><label for="${id}">${label}</label>${
    hint ? html`<p class="hint" id="${id}-hint">${hint}</p>` : ''
  }${isWrong ? html`<p class="wrong" id="${id}-error">${draft.message}</p>` : ''}${input}</div>`;
}

interface SelectOptions {
  readonly key: string;
  readonly name: string;
  readonly label: string;
  readonly value: string;
  readonly choices: readonly (readonly [value: string, text: string])[];
  readonly draft?: Draft | undefined;
  readonly hint?: string;
}

export function selectOf(options: SelectOptions): Html {
  const { key, name, label, choices, draft, hint } = options;
  const value = draft?.fields.raw(name) ?? options.value;
  const id = `${key}-${name}`;
  const isWrong = draft?.field === id;
  return html`<div class="field"><label for="${id}">${label}</label>${
    hint ? html`<p class="hint" id="${id}-hint">${hint}</p>` : ''
  }${isWrong ? html`<p class="wrong" id="${id}-error">${draft.message}</p>` : ''}<select id="${id}" name="${name}"${
    isWrong ? html` aria-invalid="true" aria-describedby="${id}-error"` : ''
  }>${choices.map(([each, text]) => html`<option value="${each}"${each === value ? html` selected` : ''}>${text}</option>`)}</select></div>`;
}

/** What can be changed, under its heading: shut until it is wanted. */
export function editorOf(title: Html | string, body: Html, isOpen: boolean = false): Html {
  return html`<details class="edit"${isOpen ? html` open data-open` : ''}><summary>${title}</summary>${body}</details>`;
}

/** As it is edited. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}

/*
 * What the pages do better with a script: nothing here is needed. What changes is taken from the
 * pages that the server makes anyway, so that there is one place where things are drawn.
 */

const { events, about } = document.body.dataset;
const live = document.getElementById('live');

/** Said once to those who don't look, and shown to those who do. */
function say(text, withReload = false) {
  live.className = 'live';
  live.textContent = text;
  if (!withReload) return;
  const link = document.createElement('a');
  link.href = location.href.replace(/#.*/, '');
  link.textContent = 'Load the page again';
  live.append(' ', link);
}

/** Said to those who don't look, where others see it. */
function whisper(text) {
  live.className = 'hidden';
  live.textContent = text;
}

/** Calls after a pause, and only for the last of several calls. */
function calmed(ms, task) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(task, ms, ...args);
  };
}

/** The page at that address, or what a form gets as its answer; undefined where it is overtaken. */
function pages() {
  let underway;
  return async (url, options = {}) => {
    underway?.abort();
    underway = new AbortController();
    const { signal } = underway;
    try {
      const response = await fetch(url, { ...options, signal, credentials: 'same-origin' });
      const text = await response.text();
      return new DOMParser().parseFromString(text, 'text/html');
    } catch {
      return undefined;
    }
  };
}

/** The list narrows while one types. */
function filterWhileTyping(form) {
  const load = pages();
  const narrow = async (isAsked = true) => {
    const query = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...query]) if (value === '') query.delete(name);
    const url = `${form.action}${query.size > 0 ? `?${query}` : ''}`;
    const page = await load(url);
    const list = page?.getElementById('list');
    if (!list) return;
    document.getElementById('list').replaceWith(document.adoptNode(list));
    if (!isAsked) return;
    history.replaceState(null, '', url);
    whisper(document.getElementById('found').textContent);
  };
  const later = calmed(150, narrow);
  form.addEventListener('input', () => later());
  // What the first page did not wait for.
  if (document.querySelector('[data-pending]')) setTimeout(narrow, 1_500, false);
}

/** Shows in a form what its answer would be. */
function askWhileTyping(form, fields, submitter) {
  const load = pages();
  const place = form.querySelector('[data-outcome]');
  const ask = calmed(200, async () => {
    const button = form.querySelector(submitter);
    const data = new URLSearchParams(new FormData(form));
    if (button.name !== '') data.set(button.name, button.value);
    const url = button.hasAttribute('formaction') ? button.formAction : form.action;
    const page = await load(url, { method: 'POST', body: data });
    const outcome = page?.getElementById('outcome') ?? page?.getElementById('error');
    if (!outcome) return;
    // Without links to fields of that other page.
    for (const link of outcome.querySelectorAll('a')) link.replaceWith(...link.childNodes);
    for (const each of outcome.querySelectorAll('[id]')) each.removeAttribute('id');
    place.replaceChildren(...document.adoptNode(outcome).childNodes);
  });
  for (const name of fields) form.elements[name]?.addEventListener('input', ask);
}

/** A slider beside the number. */
function slide(form) {
  const number = form.elements.percentage;
  const range = document.createElement('input');
  range.type = 'range';
  range.min = '0';
  range.max = '100';
  range.step = '1';
  range.value = number.value;
  range.setAttribute('aria-label', 'Percentage, to drag');
  range.addEventListener('input', () => {
    number.value = range.value;
    number.dispatchEvent(new Event('input'));
  });
  number.addEventListener('input', () => {
    range.value = number.value;
  });
  number.closest('.row').before(range);
}

/** Whether somebody is at work in a part of the page, so that it must stay as it is. */
function isBusy(part) {
  if (part.contains(document.activeElement)) return true;
  for (const field of part.querySelectorAll(
    'input:not([type=hidden]):not([type=range]), textarea',
  )) {
    if (field.value !== field.defaultValue) return true;
  }
  for (const { options, value } of part.querySelectorAll('select')) {
    const usual = [...options].find((each) => each.defaultSelected) ?? options[0];
    if (value !== usual?.value) return true;
  }
  return part.querySelector('details[open]:not([data-open]) form') !== null;
}

/** Brings what another person has changed into the page, where nobody is at work. */
function follow() {
  const load = pages();
  const refresh = calmed(300, async () => {
    const page = await load(location.href);
    const last = page?.getElementById('last-change');
    const before = document.getElementById('last-change');
    // Another page, to sign in or of a store that does not answer, says nothing of this one.
    if (!before || page?.body.dataset.about !== about) return undefined;
    if (!last) return say('This feature was removed.', true);
    if (before.dataset.change === last.dataset.change) return undefined;
    const parts = [...document.querySelectorAll('[data-part]')];
    const who = last.dataset.who;
    // The forms of all parts name the state that they show: some of each would be stale.
    if (parts.length === 0 || parts.some(isBusy)) return say(`${who} changed this.`, true);
    for (const part of parts) {
      const next = page.getElementById(part.id);
      if (!next) continue;
      const hasChanged = part.textContent !== next.textContent;
      part.replaceWith(document.adoptNode(next));
      if (hasChanged && part.id !== 'top') next.classList.add('changed');
    }
    document.getElementById('saved')?.remove();
    enhance(document);
    say(`${who} changed this. The page shows it.`);
    return undefined;
  });
  const heard = ({ data }) => {
    const { of, name } = JSON.parse(data);
    if (of === 'feature' && name === about) {
      if (document.querySelector('[data-part]')) refresh();
      else say('This feature was changed meanwhile.', true);
    } else if (about === undefined && document.getElementById('list')) {
      say(`${name} was changed.`, true);
    }
  };
  const missed = () => about !== undefined && refresh();
  const unheard = () => {
    if (about === undefined && document.getElementById('list')) say('Features were changed.', true);
    else missed();
  };
  // Browsers have few connections to one host: those that nobody looks at need none.
  let stream;
  const listen = () => {
    stream?.close();
    stream = undefined;
    if (document.hidden) return;
    stream = new EventSource(events);
    stream.addEventListener('change', heard);
    stream.addEventListener('missed', unheard);
    // What came before, or while the connection was lost.
    stream.addEventListener('open', missed);
  };
  listen();
  addEventListener('pagehide', () => stream?.close());
  addEventListener('pageshow', ({ persisted }) => persisted && listen());
  document.addEventListener('visibilitychange', () => {
    listen();
    // Also where there is no room for another stream.
    if (!document.hidden) missed();
  });
}

function enhance(root) {
  for (const form of root.querySelectorAll('form[data-live]')) {
    if (form.dataset.live === 'percentage') {
      slide(form);
      askWhileTyping(form, ['percentage', 'over', 'overIds'], 'button[value=percentage]');
    } else {
      askWhileTyping(form, ['source', 'flags', 'ids'], 'button.secondary');
    }
  }
}

for (const form of document.querySelectorAll('form[data-filter]')) filterWhileTyping(form);
enhance(document);
// Where something was refused, or saved, that comes first.
document.querySelector('#error, #saved')?.focus();
if (events) follow();

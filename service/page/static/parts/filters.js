/**
 * Conditions on records, as `GET /gallery` and `POST /query` take them: an object from the parameter's name to its
 * value, or list of values. The form has its own draft; what is applied is a new object.
 */
import { useId, useLayoutEffect, useState } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { time } from "../format.js";
import { html } from "../html.js";
import { Icon } from "./icon.js";
import { fromLocal, toLocal } from "./local_time.js";
import { listText, listValues } from "./value_list.js";

const LISTS = ["camera", "tag", "attribute"];
const NAMES = [...LISTS, "identity", "source", "captured_after", "captured_before", "near"];
const WORDS = { captured_after: "from", captured_before: "until", near: "near" };
const MOST_SUGGESTED = 200;
const LENGTH_TO_MINUTE = "2026-01-31T12:00".length;

/** The conditions among the parameters of an address. */
export function conditionsOf(query) {
  const conditions = {};
  for (const name of NAMES) {
    const values = [query[name] ?? []].flat();
    if (values.length) conditions[name] = LISTS.includes(name) ? values : values[0];
  }
  return conditions;
}

export const isEmpty = (conditions) => !Object.keys(conditions).length;

/** The chips of what is applied, each with a button that takes it off. */
export function AppliedFilters({ conditions, onChange }) {
  if (isEmpty(conditions)) return null;
  const without = (name, value) => {
    const { [name]: values, ...others } = conditions;
    const left = [values].flat().filter((one) => one !== value);
    onChange(left.length ? { ...others, [name]: LISTS.includes(name) ? left : left[0] } : others);
  };
  return html`
    <ul class="row" aria-label="Conditions">
      ${Object.entries(conditions).flatMap(([name, values]) =>
        [values].flat().map((value) => {
          const text = `${WORDS[name] ?? name} ${name.startsWith("captured") ? time(value) : value}`;
          return html`
            <li key=${text} class="chip accent">
              ${text}
              <button class="chip-off" aria-label=${`Take off ${text}`} onClick=${() => without(name, value)}>
                <${Icon} name="close" size="14" />
              </button>
            </li>
          `;
        }),
      )}
    </ul>
  `;
}

/** The form. `onChange` gets the new conditions when they are applied. */
export function Filters({ conditions, onChange }) {
  const [draft, setDraft] = useState(() => toDraft(conditions));
  // Before it is seen: what is typed at once is not lost.
  useLayoutEffect(() => setDraft(toDraft(conditions)), [conditions]);
  const apply = (event) => {
    event.preventDefault();
    onChange(fromDraft(draft));
  };
  return html`
    <form class="filters" onSubmit=${apply} aria-label="Filters">
      <${ConditionFields} draft=${draft} onChange=${setDraft} />
      <div class="row filters-actions">
        <button class="button primary" type="submit">Apply</button>
        <button class="button" type="button" onClick=${() => onChange({})}>Clear</button>
      </div>
    </form>
  `;
}

/** The fields of conditions, inside whatever form; `draft` is what `toDraft` gives and `fromDraft` reads. */
export function ConditionFields({ draft, onChange }) {
  const lists = useId();
  const { data: stats } = useResource((signal) => call("gallery/stats", { query: { limit: MOST_SUGGESTED }, signal }), []);
  const set = (name) => (event) => onChange({ ...draft, [name]: event.target.value });
  const text = (name, label, placeholder, list) => html`
    <label class="field"><span>${label}</span>
      <input class="input" name=${name} value=${draft[name]} onInput=${set(name)} placeholder=${placeholder}
        list=${list && `${lists}-${list}`} />
    </label>
  `;
  const when = (name, label) => html`
    <label class="field"><span>${label}</span>
      <input class="input" type="datetime-local" name=${name} value=${draft[name]} onInput=${set(name)} />
    </label>
  `;
  return html`
    ${text("camera", "Camera", "any of, with commas", "cameras")}
    ${text("identity", "Identity", "one vehicle", "identities")}
    ${when("captured_after", "Captured from")}
    ${when("captured_before", "Captured until")}
    ${text("tag", "Tags", "all of, with commas")}
    ${text("attribute", "Attributes", "colour:red, with commas")}
    ${text("source", "Source", "the file's name")}
    ${text("near", "Near", "latitude, longitude, metres")}
    <datalist id=${`${lists}-cameras`}>${options(stats?.cameras, (camera) => listText([camera]))}</datalist>
    <datalist id=${`${lists}-identities`}>${options(stats?.identities)}</datalist>
  `;
}

function options(counts = [], textOf = String) {
  const values = counts.map(({ value }) => value).filter((value) => value !== null);
  return values.map((value) => html`<option key=${value} value=${textOf(value)} />`);
}

export function toDraft(conditions) {
  const draft = {};
  for (const name of NAMES) {
    const value = conditions[name] ?? "";
    if (LISTS.includes(name)) draft[name] = listText([value].flat());
    else draft[name] = name.startsWith("captured") ? toLocal(value).slice(0, LENGTH_TO_MINUTE) : value;
  }
  return draft;
}

export function fromDraft(draft) {
  const conditions = {};
  for (const name of NAMES) {
    const value = draft[name].trim();
    if (!value) continue;
    if (LISTS.includes(name)) conditions[name] = listValues(value);
    else if (name.startsWith("captured")) conditions[name] = fromLocal(value);
    else conditions[name] = name === "near" ? value.replace(/\s/g, "") : value;
  }
  return conditions;
}

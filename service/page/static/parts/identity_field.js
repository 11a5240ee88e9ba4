/** Where an identity is entered; those that the gallery has are suggested. */
import { useId } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { html } from "../html.js";
import { Suggestions } from "./suggestions.js";

const MOST_SUGGESTED = 200;

/** @param onInput gets the text. */
export function IdentityField({ value, onInput, label = "Identity", autofocus = false }) {
  const list = useId();
  const loadStats = (signal) => call("gallery/stats", { query: { limit: MOST_SUGGESTED }, signal });
  const { data: stats } = useResource(loadStats, []);
  return html`
    <label class="field">
      <span>${label}</span>
      <input class="input" list=${list} maxlength="200" autocomplete="off" autofocus=${autofocus} value=${value}
        onInput=${(event) => onInput(event.target.value)} />
      <${Suggestions} id=${list} counts=${stats?.identities} />
    </label>
  `;
}

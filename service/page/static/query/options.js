/** How is searched: number of matches, conditions, and under "More" grouping, re-ranking and expansion. */
import { useLayoutEffect, useState } from "preact/hooks";
import { html } from "../html.js";
import { AppliedFilters, Filters, isEmpty } from "../parts/filters.js";
import { Icon } from "../parts/icon.js";
import { go } from "../route.js";
import { useStore } from "../store.js";
import { addressOf, MOST_MATCHES, parameters } from "./parameters.js";

const USUAL_NUMBERS = [10, 50, 200];

/** Changes go into the address, which the view follows. */
const change = (changed) => go(addressOf({ ...parameters.value, ...changed }), { replace: true });

export function Options() {
  const { topK, groupBy, rerank, expand, conditions } = useStore(parameters);
  const [isOpen, setOpen] = useState(!isEmpty(conditions));
  const setConditions = (changed) => change({ conditions: changed });
  const check = (name, checked, label, text) => html`
    <label class="check">
      <input type="checkbox" checked=${checked} onChange=${(event) => change({ [name]: event.target.checked })} />
      <span><strong>${label}</strong><small>${text}</small></span>
    </label>
  `;
  return html`
    <div class="options stack">
      <${NumberOfMatches} topK=${topK} />
      <${AppliedFilters} conditions=${conditions} onChange=${setConditions} />
      <details class="fold" open=${isOpen} onToggle=${(event) => setOpen(event.currentTarget.open)}>
        <summary><${Icon} name="filter" />Conditions</summary>
        ${isOpen && html`<${Filters} conditions=${conditions} onChange=${setConditions} />`}
      </details>
      <details class="fold" open=${groupBy || rerank || expand > 0}>
        <summary><${Icon} name="down" />More</summary>
        <div class="stack">
          ${check("groupBy", groupBy, "One match for each identity", "Only the nearest record of each known vehicle.")}
          ${check("rerank", rerank, "Re-rank by shared neighbours", "Nothing is then called a match or no match.")}
          <${Expansion} expand=${expand} />
        </div>
      </details>
    </div>
  `;
}

function NumberOfMatches({ topK }) {
  const [text, setText] = useState("");
  useLayoutEffect(() => setText(USUAL_NUMBERS.includes(topK) ? "" : String(topK)), [topK]);
  const number = Number(text);
  const isWrong = text !== "" && !(Number.isInteger(number) && number >= 1 && number <= MOST_MATCHES);
  const enter = (event) => {
    event.preventDefault();
    if (text !== "" && !isWrong) change({ topK: number });
  };
  return html`
    <form class="number-of-matches" onSubmit=${enter} onFocusOut=${enter}>
      <fieldset>
        <legend>Matches to show</legend>
        ${USUAL_NUMBERS.map(
          (usual) => html`
            <button key=${usual} class="button" type="button" aria-pressed=${topK === usual}
              onClick=${() => change({ topK: usual })}>${usual}</button>
          `,
        )}
        <input class="input figures" inputmode="numeric" placeholder="other"
          aria-label="Another number of matches, up to 1000" aria-invalid=${isWrong} value=${text}
          onInput=${(event) => setText(event.target.value.trim())} />
      </fieldset>
      ${isWrong && html`<small class="wrong-number" role="alert">A whole number from 1 to ${MOST_MATCHES}.</small>`}
    </form>
  `;
}

function Expansion({ expand }) {
  const enter = ({ target }) => change({ expand: Math.min(50, Math.max(0, Math.round(target.valueAsNumber || 0))) });
  return html`
    <label class="field expansion">
      <span>Search again with the nearest</span>
      <input class="input figures" type="number" min="0" max="50" value=${expand} onChange=${enter} />
      <small>0 to 50 of the nearest records are added to the query. Helps where they are surely right.</small>
    </label>
  `;
}

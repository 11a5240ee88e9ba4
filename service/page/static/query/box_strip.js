/** The vehicles of a query with several boxes, each with its decision; one of them is shown below. */
import { distance, probability } from "../format.js";
import { html } from "../html.js";
import { Crop } from "./crop.js";
import { DECISIONS } from "./decision.js";
import { showAnswer } from "./search.js";

export function BoxStrip({ answers, shown }) {
  const onKeyDown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const index = (answers.indexOf(shown) + step + answers.length) % answers.length;
    showAnswer(index);
    event.currentTarget.children[index].focus();
  };
  return html`
    <div class="box-strip" role="tablist" aria-label="Boxes" onKeyDown=${onKeyDown}>
      ${answers.map((answer, index) => {
        const isShown = answer === shown;
        const { tone, short } = answer.error ? { tone: "bad", short: "Cannot be used" } : DECISIONS[answer.decision];
        const nearest = answer.matches?.[0];
        const isNear = nearest?.probability === null ? distance(nearest.distance) : probability(nearest?.probability);
        return html`
          <button key=${answer.subject.box.key} role="tab" aria-selected=${isShown} tabindex=${isShown ? 0 : -1}
            class="box-tab" onClick=${() => showAnswer(index)}>
            <${Crop} subject=${answer.subject} alt="" />
            <span class="box-tab-text">
              <strong>Box ${index + 1}</strong>
              <span class=${`chip ${tone}`}>${short}</span>
              ${nearest && html`
                <span class="small soft figures truncate">
                  ${nearest.identity ?? "no identity"} · ${isNear}
                </span>
              `}
            </span>
          </button>
        `;
      })}
    </div>
  `;
}

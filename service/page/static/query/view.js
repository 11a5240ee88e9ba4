/** Find a vehicle: what is searched for on the left, what was found on the right. */
import { useEffect } from "preact/hooks";
import { html } from "../html.js";
import { Lazy } from "../parts/lazy.js";
import { go } from "../route.js";
import { useStore } from "../store.js";
import { Intake, useFilesAnywhere } from "./intake.js";
import { Options } from "./options.js";
import { addressOf, parameters, parametersOf, sameParameters } from "./parameters.js";
import { clearSearch, isCurrent, search, startSearch } from "./search.js";
import { closeImage, image, isLarge, isReady } from "./subject.js";

// Not needed for the first paint, but before the first answer.
const subjectPanel = () => import("./subject_panel.js");
const answerPanel = () => import("./answer_panel.js");
const whenIdle = window.requestIdleCallback ?? setTimeout;

export function View({ query }) {
  const { record } = useStore(parameters);
  const opened = useStore(image);
  const large = useStore(isLarge);
  const isDragged = useFilesAnywhere();
  useEffect(() => follow(query), [query]);
  useEffect(() => {
    // If they cannot be had, `Lazy` says so later.
    whenIdle(() => Promise.all([subjectPanel(), answerPanel()]).catch(() => {}));
    return () => void (isReturning = true);
  }, []);
  const isEmpty = !record && !opened;
  const startAnew = () => {
    clearSearch();
    closeImage();
    go(addressOf({ ...parameters.value, record: null }));
  };
  return html`
    <div class="view-head">
      <h1 tabindex="-1">Find a vehicle</h1>
      ${!isEmpty && html`<button class="button" onClick=${startAnew}>New query</button>`}
    </div>
    <div class=${`query ${isEmpty ? "empty-query" : ""} ${large ? "large-editor" : ""} ${isDragged ? "dragged" : ""}`}>
      <section class="query-subject stack" aria-label="What is searched for">
        ${isEmpty ? html`<${Intake} />` : html`<${Lazy} load=${subjectPanel} name="SubjectPanel" />`}
        <${Options} />
      </section>
      ${!isEmpty && html`
        <section class="query-answer" aria-label="What was found">
          <${Lazy} load=${answerPanel} name="AnswerPanel" />
        </section>
      `}
    </div>
  `;
}

let isReturning = true;

/** Does what an address asks for. One without parameters, on the way back from another view, asks for what was left. */
function follow(query) {
  const asked = parametersOf(query);
  if (isReturning && !Object.keys(query).length && !sameParameters(asked, parameters.value)) {
    isReturning = false;
    go(addressOf(parameters.value), { replace: true });
    return;
  }
  isReturning = false;
  if (!sameParameters(asked, parameters.value)) parameters.set(asked);
  const last = search.value.asked;
  if (last && isCurrent(last)) return;
  if (asked.record || (last && isReady())) startSearch();
  else if (!image.value) clearSearch();
}

/** What was found: the decision, the query as the network saw it, and the ranked matches. */
import { useEffect, useRef, useState } from "preact/hooks";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Empty, Failure, Loading } from "../parts/states.js";
import { useStore } from "../store.js";
import { BoxStrip } from "./box_strip.js";
import { Decision } from "./decision.js";
import { Exports } from "./exports.js";
import { MatchDialog } from "./match_dialog.js";
import { MatchGrid } from "./match_grid.js";
import { parameters } from "./parameters.js";
import { QueryViews } from "./query_views.js";
import { isCurrent, search, shownAnswer, startSearch } from "./search.js";
import { boxes, image } from "./subject.js";
import { Warnings } from "./warnings.js";

const STACKED = "(max-width: 62rem)";

export function AnswerPanel() {
  const { running, problem, result } = useStore(search);
  const shown = useStore(shownAnswer);
  const [opened, setOpened] = useState(null); // of one answer alone: `{subject, rank}`
  const top = useRef(null);
  useEffect(() => {
    // Where the columns are stacked, the answer would come in below what is seen.
    if (result && matchMedia(STACKED).matches) top.current?.scrollIntoView({ block: "start" });
  }, [result?.asked]);
  if (problem) return html`<${Failure} problem=${problem} retry=${startSearch} />`;
  if (!result && running) return html`<${Loading} text="Searching" />`;
  if (!result) return html`<${Waiting} />`;
  const answer = result.answers[Math.min(shown, result.answers.length - 1)];
  return html`
    <div class="stack answer" aria-busy=${running} ref=${top}>
      ${result.answers.length > 1 && html`<${BoxStrip} answers=${result.answers} shown=${answer} />`}
      <${Outdated} asked=${result.asked} running=${running} />
      ${answer.error
        ? html`<p class="note bad" role="alert"><${Icon} name="warning" />This box cannot be used: ${answer.error}.</p>`
        : html`
            <div class="answer-head">
              <${Decision} answer=${answer} asked=${result.asked} timing=${result.timing} />
              <${QueryViews} answer=${answer} />
            </div>
            <${Warnings} warnings=${[...new Set([...answer.warnings, ...result.warnings])]} />
            ${answer.matches.length > 0 && html`
              <${Exports} result=${result} answer=${answer} />
              <${MatchGrid} answer=${answer} onOpen=${(rank) => setOpened({ subject: answer.subject, rank })} />
            `}
          `}
    </div>
    ${opened && opened.subject === answer.subject && !answer.error && html`
      <${MatchDialog} answer=${answer} rank=${opened.rank} onRank=${(rank) => setOpened({ ...opened, rank })}
        onClose=${() => setOpened(null)} />
    `}
  `;
}

/** Before the first search of a frame. */
function Waiting() {
  const drawn = useStore(boxes);
  return html`
    <${Empty} icon="box" title=${drawn.length ? "Ready to search" : "Draw a box around a vehicle"}>
      ${drawn.length
        ? "Press Enter, or the button below the image. Several boxes are searched for together."
        : "Drag across the image. The vehicle should fill the box, as it would fill a crop."}
    <//>
  `;
}

/** Says that boxes or parameters were changed since the answer. */
function Outdated({ asked, running }) {
  // The stores are read so that this is drawn again when one of them changes.
  useStore(boxes);
  useStore(image);
  useStore(parameters);
  if (running || isCurrent(asked)) return null;
  return html`
    <div class="note accent">
      <${Icon} name="info" />
      <span>The boxes have changed since this answer.</span>
      <button class="button" onClick=${startSearch}>Search again</button>
    </div>
  `;
}

/** A match beside the query: original and aligned, one wiped over the other, its facts and its whole frame. */
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { distance, probability } from "../format.js";
import { html } from "../html.js";
import { Dialog } from "../parts/dialog.js";
import { FramePicture } from "../parts/frame_picture.js";
import { Icon } from "../parts/icon.js";
import { Picture } from "../parts/picture.js";
import { useStore } from "../store.js";
import { boxWords } from "./box_geometry.js";
import { Crop } from "./crop.js";
import { Facts } from "./facts.js";
import { IdentityDialog } from "./identity_dialog.js";
import { judge, judgements, judgementsOf } from "./judgements.js";
import { JudgeButtons } from "./match_card.js";
import { addressOf, parameters } from "./parameters.js";
import { turnWords } from "./query_views.js";
import { Wipe } from "./wipe.js";

export function MatchDialog({ answer, rank, onRank, onClose }) {
  const match = answer.matches[rank - 1];
  const judgement = judgementsOf(useStore(judgements), answer)[match.id];
  const [isNaming, setNaming] = useState(false);
  const loadRecord = (signal) => call(`gallery/${match.id}`, { signal });
  const { data: record, problem } = useResource(loadRecord, [match.id, match.identity]);
  const last = answer.matches.length;
  const isRank = (number) => number >= 1 && number <= last;
  const onKeyDown = useRef(null);
  onKeyDown.current = (event) => {
    if (isNaming || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const key = event.key.toLowerCase();
    if (key === "arrowright" && isRank(rank + 1)) onRank(rank + 1);
    else if (key === "arrowleft" && isRank(rank - 1)) onRank(rank - 1);
    else if (key === "r") judge(answer, match.id, "right");
    else if (key === "w") judge(answer, match.id, "wrong");
    else if (key === "i") setNaming(true);
    else return;
    event.preventDefault();
  };
  useEffect(() => {
    // Wherever in the dialog the focus is, and after a click beside everything that can have it.
    const listener = (event) => onKeyDown.current(event);
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, []);
  const step = (name, icon, to) => html`
    <button class="button icon" aria-label=${name} aria-disabled=${!isRank(to)}
      onClick=${() => isRank(to) && onRank(to)}>
      <${Icon} name=${icon} />
    </button>
  `;
  const picture = (caption, picture) => html`<figure>${picture}<figcaption>${caption}</figcaption></figure>`;
  const current = record?.id === match.id ? record : null;
  return html`
    <${Dialog} wide title=${`Match ${rank} of ${last}: ${match.identity ?? "no identity"}`} onClose=${onClose}>
      <div class="opened">
        <div class="opened-tools row spread">
          <div class="row">
            ${step("Previous match", "left", rank - 1)}${step("Next match", "right", rank + 1)}
            <span class="judge-pair"><${JudgeButtons} withText name=${`match ${rank}`} judgement=${judgement}
              onJudge=${(value) => judge(answer, match.id, value)} /></span>
          </div>
          <div class="row">
            <button class="button" onClick=${() => setNaming(true)}><${Icon} name="pencil" size="18" />Identity</button>
            <a class="button" href=${addressOf({ ...parameters.value, record: match.id })} onClick=${onClose}>
              <${Icon} name="search" size="18" />Search for this one
            </a>
          </div>
        </div>
        <div class="opened-pictures">
          <div class="pairs">
            <h3>Query</h3><h3>Match</h3>
            ${picture("As photographed", html`<${Crop} subject=${answer.subject} alt="The query" />`)}
            ${picture("As photographed", html`<${Picture} path=${match.image_url} alt="The match" />`)}
            ${picture(turnWords(answer.query), html`<${AlignedQuery} query=${answer.query} />`)}
            ${picture(
              current ? turnWords(current) : "Aligned",
              html`<${Picture} path=${match.aligned_url} alt="The match, aligned" />`,
            )}
          </div>
          <${Wipe} below=${answer.query.aligned_view} path=${match.aligned_url} />
        </div>
        <div class="opened-facts">
          <div class="stack">
            <section class="stack tight">
              <h3>Match</h3>
              <${Facts} record=${current ?? match}>
                <dt>Distance</dt><dd class="figures">${distance(match.distance)}</dd>
                <dt>Probability</dt>
                <dd class="figures">${match.probability === null ? "nobody knows" : probability(match.probability)}</dd>
              <//>
            </section>
            <section class="stack tight">
              <h3>Query</h3>
              <${QueryFacts} subject=${answer.subject} />
            </section>
          </div>
          ${problem?.status === 404 && html`
            <p class="note warn"><${Icon} name="warning" />This record was deleted meanwhile.</p>
          `}
          ${current && html`
            <figure>
              <${FramePicture} path=${current.frame_url} box=${current.box}
                alt="The whole image that the match is from, its vehicle marked" />
              <figcaption>The whole image it is from</figcaption>
            </figure>
          `}
        </div>
      </div>
      ${isNaming && html`<${IdentityDialog} match=${match} answer=${answer} onClose=${() => setNaming(false)} />`}
    <//>
  `;
}

/** What is known of the query: all of a record, of an image its name and box. */
function QueryFacts({ subject }) {
  const { record, image, box } = subject;
  const { data } = useResource(async (signal) => record && call(`gallery/${record}`, { signal }), [record]);
  if (record) return data && html`<${Facts} record=${data} />`;
  return html`
    <${Facts} record=${{ source: image.name }}>
      ${box && html`<dt>Box</dt><dd class="figures">${boxWords(box)}</dd>`}
    <//>
  `;
}

const AlignedQuery = ({ query }) => html`
  <div class="picture">
    ${query.aligned_view
      ? html`<img src=${query.aligned_view} alt="The query, aligned" />`
      : html`<span>Image lost</span>`}
  </div>
`;

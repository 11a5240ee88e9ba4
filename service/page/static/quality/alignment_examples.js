/** How the network turns vehicles: some records, as they were enrolled and as they are compared. */
import { useState } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { degrees } from "../format.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { Picture } from "../parts/picture.js";
import { Empty, Failure, Loading } from "../parts/states.js";

const SHOWN = 6;
const LOOKED_AT = 48;

export function AlignmentExamples() {
  const [{ cursor, turn }, setPlace] = useState({ cursor: null, turn: 0 });
  const { data, problem, loading, reload } = useResource(
    (signal) => call("gallery", { query: { limit: LOOKED_AT, cursor }, signal }),
    [cursor],
  );
  // Far from each other, because neighbours often come from one frame.
  const step = Math.max(1, Math.floor((data?.records.length ?? 0) / SHOWN));
  const examples = data?.records.filter((_, index) => index % step === turn).slice(0, SHOWN) ?? [];
  const others = () => setPlace(turn + 1 < step ? { cursor, turn: turn + 1 } : { cursor: data.next_cursor, turn: 0 });
  return html`
    <section class="card padded stack wide" aria-labelledby="alignment-title">
      <div class="row spread">
        <h2 id="alignment-title">How vehicles are turned</h2>
        ${data?.total > SHOWN && html`
          <button class="button" disabled=${loading} onClick=${others}>
            <${Icon} name="turn" size="16" />Other examples
          </button>
        `}
      </div>
      ${problem && !data && html`<${Failure} problem=${problem} retry=${reload} />`}
      ${!problem && !data && html`<${Loading} />`}
      ${data && !data.total && html`
        <${Empty} icon="image" title="The gallery is empty"><a
          href="#/gallery">Enrol vehicles</a> to see how they are turned.<//>
      `}
      ${data?.total > 0 && html`
        <ul class="examples">${examples.map((record) => html`<${Example} key=${record.id} record=${record} />`)}</ul>
      `}
    </section>
  `;
}

function Example({ record }) {
  const name = record.identity ?? record.source ?? record.id;
  return html`
    <li class="example">
      <div class="example-pair">
        <${Picture} path=${record.image_url} alt=${`${name}, as enrolled`} />
        <${Picture} path=${record.aligned_url} alt=${`${name}, aligned`} />
      </div>
      <p class="row spread small">
        <span class="truncate soft" title=${name}>${name}</span>
        <span class="figures">${degrees(record.rotation_deg)}${record.mirrored ? ", mirrored" : ""}</span>
      </p>
    </li>
  `;
}

/** What was deleted and can still be brought back. */
import { useState } from "preact/hooks";
import { call } from "../api/client.js";
import { useResource } from "../api/resource.js";
import { plural, time } from "../format.js";
import { html } from "../html.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { Loaded } from "../parts/loaded.js";
import { Empty } from "../parts/states.js";
import { useStore } from "../store.js";
import { galleryVersion } from "./changes.js";
import { undo } from "./deletion.js";

export function DeletionsDialog({ onClose }) {
  const version = useStore(galleryVersion);
  const deletions = useResource((signal) => call("gallery/deletions", { signal }), [version]);
  return html`
    <${Dialog} title="Deleted lately" onClose=${onClose}>
      <${Loaded} resource=${deletions}>
        ${(data) => html`<${List} deletions=${data.deletions.filter(({ undo_url }) => undo_url)} />`}
      <//>
    <//>
  `;
}

function List({ deletions }) {
  const [isUndoing, setUndoing] = useState(false);
  const bringBack = async (undoUrl) => {
    setUndoing(true);
    await undo([undoUrl]);
    setUndoing(false);
  };
  if (!deletions.length) {
    return html`
      <${Empty} icon="trash" title="Nothing to bring back">
        What is deleted can be brought back from here for a while.
      <//>
    `;
  }
  return html`
    <ul class="stack tight">
      ${deletions.map(
        ({ id, deleted_at, deleted, undo_url, undo_until }) => html`
          <li key=${id} class="row spread">
            <span>
              <strong class="figures">${plural(deleted, "record")}</strong>
              <span class="soft small"> deleted ${time(deleted_at)}, comes back until ${time(undo_until)}</span>
            </span>
            <button class="button" disabled=${isUndoing} onClick=${() => bringBack(undo_url)}>
              <${Icon} name="undo" size="16" />Undo
            </button>
          </li>
        `,
      )}
    </ul>
  `;
}

/** What a job has made, to download. */
import { useState } from "preact/hooks";
import { bytes } from "../format.js";
import { html } from "../html.js";
import { download } from "../parts/download.js";
import { Icon } from "../parts/icon.js";
import { toastProblem } from "../parts/toasts.js";

export function Files({ files }) {
  if (!files.length) return null;
  return html`
    <section class="card padded stack tight" aria-label="Files">
      <h2>Files</h2>
      <ul class="row">${files.map((file) => html`<li key=${file.name}><${FileButton} file=${file} /></li>`)}</ul>
    </section>
  `;
}

function FileButton({ file: { name, url, bytes: size } }) {
  const [running, setRunning] = useState(false);
  const start = () => {
    setRunning(true);
    download(url, name).catch(toastProblem).finally(() => setRunning(false));
  };
  return html`
    <button class="button" disabled=${running} onClick=${start}>
      <${Icon} name="download" size="16" />${name}<span class="small faint figures">${bytes(size)}</span>
    </button>
  `;
}

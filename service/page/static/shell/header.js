/** The bar at the top: name, tabs, how the service is, key. */
import { connection, readiness } from "../api/connection.js";
import { key, keyAsked } from "../api/key.js";
import { html } from "../html.js";
import { Icon } from "../parts/icon.js";
import { useStore } from "../store.js";

const STATES = {
  connecting: ["", "Connecting"],
  ready: ["good", "Ready"],
  "not-ready": ["warn", "Not ready"],
  offline: ["bad", "Offline"],
};

export function Header({ views, current }) {
  return html`
    <header class="header">
      <a class="brand" href="#/query"><img src="page/icon.svg" alt="" width="28" height="28" />SANet Retrieval</a>
      <nav class="tabs" aria-label="Views">
        ${Object.entries(views).map(
          ([name, { title, icon }]) => html`
            <a key=${name} href=${`#/${name}`} aria-current=${name === current ? "page" : null}>
              <${Icon} name=${icon} />${title}
            </a>
          `,
        )}
      </nav>
      <div class="right"><${State} /><${KeyButton} /></div>
    </header>
  `;
}

function State() {
  const state = useStore(connection);
  const ready = useStore(readiness);
  const [tone, text] = STATES[state];
  if (state === "ready" && ready?.damage) {
    return html`<a class="chip warn" href="#/quality">Damage found</a>`;
  }
  return html`<span class=${`chip ${tone}`} role="status">${text}</span>`;
}

function KeyButton() {
  const value = useStore(key);
  const label = value ? "API key: entered" : "Enter an API key";
  return html`
    <button class="button icon plain" title=${label} aria-label=${label} onClick=${() => keyAsked.set("")}>
      <${Icon} name=${value ? "key" : "keyless"} />
    </button>
  `;
}

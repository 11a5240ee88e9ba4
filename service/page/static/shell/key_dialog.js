/** Where the API key is entered and forgotten. */
import { useLayoutEffect, useState } from "preact/hooks";
import { isSendable, key, keyAsked } from "../api/key.js";
import { html } from "../html.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icon.js";
import { useStore } from "../store.js";

export function KeyDialog() {
  const asked = useStore(keyAsked);
  const [text, setText] = useState("");
  useLayoutEffect(() => setText(""), [asked]);
  if (asked === null) return null;
  const typed = text.trim();
  const isWrong = typed !== "" && !isSendable(typed);
  const close = () => keyAsked.set(null);
  const enter = (event) => {
    event.preventDefault();
    key.set(typed);
    close();
  };
  const forget = () => {
    key.set(null);
    close();
  };
  return html`
    <${Dialog} title="API key" onClose=${close}>
      <form class="stack" onSubmit=${enter}>
        ${asked && html`<p class="note warn" role="alert"><${Icon} name="key" />${asked}</p>`}
        <label class="field">
          <span>Key</span>
          <input class="input" type="password" autocomplete="off" required autofocus value=${text}
            aria-invalid=${String(isWrong)} onInput=${(event) => setText(event.target.value)} />
          <small>
            Kept in this tab alone until it is closed. An administrator makes keys
            with <code>python -m service.keys create</code>.
          </small>
        </label>
        ${isWrong && html`
          <p class="note bad" role="alert">
            <${Icon} name="warning" />A key has only letters, digits and signs of the English keyboard, and no spaces.
          </p>
        `}
        <footer>
          ${key.value && html`<button class="button danger" type="button" onClick=${forget}>Forget the key</button>`}
          <button class="button primary" disabled=${!typed || isWrong}>Use this key</button>
        </footer>
      </form>
    <//>
  `;
}

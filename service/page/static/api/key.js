/** The API key: kept for this tab alone, so that a shared machine forgets it when the tab is closed. */
import { Store } from "../store.js";

const NAME = "sanet-key";

/** Whether a text can be sent in a header: keys are printable ASCII without spaces. */
export const isSendable = (text) => /^[\x21-\x7e]+$/.test(text);

const stored = sessionStorage.getItem(NAME);

export const key = new Store(stored !== null && isSendable(stored) ? stored : null);
/** What the key dialog says, or null while it is closed. */
export const keyAsked = new Store(null);

key.listen((value) => (value ? sessionStorage.setItem(NAME, value) : sessionStorage.removeItem(NAME)));

/** Puts the page together: token, connection, store, and what is seen. The one module that the document names. */
import { render } from 'preact';
import { Actions } from './actions.js';
import { Api } from './api.js';
import { App } from './app.js';
import { follow } from './connection.js';
import { eventText } from './event-text.js';
import { html } from './html.js';
import { Store } from './store.js';

/** Of this tab alone; gone with it. */
const TOKEN = 'session-gateway token';
/** Backends are read as often as this, besides after each change of them. */
const REFRESH_MS = 2_000;

const store = new Store(Date.now);
let ending = new AbortController();
/** Ends the pause before the next try. */
let wake = () => {};

/** From the part of the address that no server is sent; it doesn't stay there. */
function tokenOfAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token !== null) history.replaceState(null, '', location.pathname + location.search);
  return token;
}

/** @returns {Promise<void>} */
function wait(ms, signal) {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timeout);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timeout = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
    wake = finish;
  });
}

function timer(ms, callback) {
  const timeout = setTimeout(callback, ms);
  return () => clearTimeout(timeout);
}

async function connect(token) {
  ending.abort();
  ending = new AbortController();
  const { signal } = ending;
  const api = new Api(token, (reason) => {
    // Of a token that was given up meanwhile it is no news.
    if (!signal.aborted) logOut(reason);
  });
  const actions = new Actions(store, api);
  sessionStorage.setItem(TOKEN, token);
  store.set({ phase: 'connecting', refused: null });
  show(actions);
  const onEvent = ({ type, data }) => {
    if (type === 'stats') {
      const isFirst = store.phase !== 'live';
      store.takeStats(data);
      if (isFirst) void actions.refresh();
      return;
    }
    const text = eventText(type, data, store.backends?.backends ?? []);
    if (type === 'backends') void actions.refresh();
    if (text !== undefined) store.tell(text);
  };
  const refreshing = setInterval(() => {
    if (store.phase === 'live' && document.visibilityState === 'visible') void actions.refresh();
  }, REFRESH_MS);
  const onAway = (reason, pauseMs) => store.takeAway(reason, pauseMs);
  try {
    await follow({ open: (either) => api.events(either), onEvent, onAway, wait, timer, random: Math.random, signal });
  } catch (error) {
    // Refused, and told.
    if (error.status !== 401) throw error;
  } finally {
    clearInterval(refreshing);
  }
}

/** @param refused why, where the gateway did it */
function logOut(refused = null) {
  ending.abort();
  sessionStorage.removeItem(TOKEN);
  store.set({
    phase: 'login',
    refused,
    stats: null,
    backends: null,
    backendsProblem: null,
    events: [],
    toasts: [],
    question: null,
    preview: null,
  });
  store.history.points = [];
}

function show(actions) {
  const app = html`<${App} store=${store} actions=${actions} onToken=${connect} onLogOut=${() => logOut()} onRetry=${() => wake()} />`;
  render(app, document.getElementById('app'));
}

document.addEventListener('visibilitychange', () => wake());
// The address of another run, put in where the page is open already.
addEventListener('hashchange', () => {
  const other = tokenOfAddress();
  if (other !== null) void connect(other);
});

const token = tokenOfAddress() ?? sessionStorage.getItem(TOKEN);
document.getElementById('app').replaceChildren();
if (token === null) show(undefined);
else void connect(token);

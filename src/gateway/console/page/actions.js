/**
 * What an operator does here: each change goes to the API, is told when it is made, and can be taken back where that is possible.
 * What can't be, or hurts, is asked about first. Imported by main.js.
 */
import { counted, hundredths, number } from './format.js';
import { awayPart, canLeave, previewShed } from './moves.js';

export class Actions {
  #store;
  #api;
  #refreshing;
  #next;
  /** By name, the fields that were set from this page, as they were set last. */
  #made = new Map();

  constructor(store, api) {
    this.#store = store;
    this.#api = api;
  }

  /** Of several who ask at once one asks; while it does, one more after it, since its answer may be older than what made them ask. */
  refresh() {
    if (this.#refreshing === undefined) {
      this.#refreshing = this.#read().finally(() => {
        this.#refreshing = undefined;
      });
      return this.#refreshing;
    }
    this.#next ??= this.#refreshing.then(() => {
      this.#next = undefined;
      return this.refresh();
    });
    return this.#next;
  }

  async #read() {
    try {
      this.#store.takeBackends(await this.#api.backends);
    } catch (error) {
      // With another token the page begins anew.
      if (error.status !== 401) this.#store.set({ backendsProblem: error.message });
    }
  }

  drain(name) {
    if (this.#canLeave(name)) return this.#leave(name, 'draining');
    return this.#ask({
      title: `Drain ${name}? No other backend takes users.`,
      text: this.#nowhereText(name),
      confirm: 'Drain',
      run: () => this.#leave(name, 'draining'),
    });
  }

  undrain(name) {
    const run = () =>
      this.#change(name, { state: 'active' }, `${name} is active again: its users are answered with it.`);
    if (this.#find(name)?.state !== 'down') return run();
    return this.#ask({
      title: `Say that ${name} works again?`,
      text: `It was said to be down. Every gateway answers ${this.#usersOf(name)} with it at once. It can be undone.`,
      confirm: 'It works',
      run,
    });
  }

  shed(name, shed) {
    const { own, others } = previewShed(this.#store.backends.backends, name, shed);
    const verb = own < 0 && others === 0 ? 'come back' : 'move';
    const users = own === null || others === null ? '' : ` About ${counted(Math.abs(own) + others, 'user')} ${verb}.`;
    return this.#change(name, { shed }, `${name} sheds ${hundredths(shed)}.${users}`);
  }

  down(name) {
    this.#ask({
      title: `Say that ${name} is down?`,
      text: this.#canLeave(name)
        ? `Every gateway answers ${this.#usersOf(name)} with other backends at once. It can be undone.`
        : this.#nowhereText(name),
      confirm: 'It is down',
      run: () => this.#leave(name, 'down'),
    });
  }

  remove(name) {
    const sessions = this.#find(name)?.sessions ?? null;
    this.#ask({
      title: `Remove ${name}?`,
      text:
        sessions === 0
          ? 'No session is stored on it. Its id stays taken: no other backend can have it.'
          : 'Where sessions are stored on it this is refused: settle it first. Its id stays taken: no other backend can have it.',
      confirm: 'Remove',
      run: () =>
        this.#try(name, async () => {
          await this.#api.removeBackend(name, false);
          this.#done(`${name} is removed.`);
        }),
    });
  }

  settle(name) {
    const backend = this.#find(name);
    const part = awayPart(backend, this.#store.backends.backends);
    const users =
      backend.sessions === null ? 'the users' : `about ${counted(Math.round(backend.sessions * part), 'user')}`;
    this.#ask({
      title: `Settle ${name}?`,
      text: `Where ${users} of ${name} are answered to now is written into their records. Nobody’s answer changes by it, and it can be stopped; but undraining brings nobody back whose record was written.`,
      confirm: 'Settle',
      run: () =>
        this.#try(name, async () => {
          await this.#api.settle(name);
          this.#store.set({ settled: name });
          this.#store.tell(`Settling ${name}.`);
        }),
    });
  }

  stopSettle(name) {
    return this.#try(name, async () => {
      await this.#api.stopSettle();
      this.#store.toast(`Settling ${name} is stopped. What is moved stays moved.`);
    });
  }

  reloadKeys() {
    this.#ask({
      title: 'Read the key file again?',
      text: 'A key that is no longer in the file stops at once: who still signs with it gets no answer. The token file of the control API is read with it.',
      confirm: 'Read it',
      run: () => this.#reloadKeys(),
    });
  }

  #reloadKeys() {
    return this.#try('keys', async () => {
      const { added, removed, changed, kept } = await this.#api.reloadKeys();
      const parts = [
        [added.length, 'added'],
        [removed.length, 'removed'],
        [changed.length, 'changed'],
      ].filter(([count]) => count > 0);
      const what =
        parts.length === 0
          ? `nothing changed, ${counted(kept, 'key')}`
          : parts.map((part) => part.join(' ')).join(', ');
      this.#done(`Keys are read again: ${what}.`);
    });
  }

  #find(name) {
    return this.#store.backends?.backends.find((backend) => backend.name === name);
  }

  #users(name) {
    const sessions = this.#find(name)?.sessions ?? null;
    return sessions === null ? 'its users are' : `its ${number(sessions)} ${sessions === 1 ? 'user is' : 'users are'}`;
  }

  #usersOf(name) {
    const sessions = this.#find(name)?.sessions ?? null;
    return sessions === null ? 'its users' : `its ${counted(sessions, 'user')}`;
  }

  #canLeave(name) {
    return canLeave(this.#store.backends?.backends ?? [], name);
  }

  #nowhereText(name) {
    return `No other backend is active with a weight. So ${this.#usersOf(name)} stay with it, users of the others go back to where they are stored, even where that is down, and who is new is answered with none: NOT_FOUND. Undraining it ends that.`;
  }

  /** @param state draining or down */
  #leave(name, state) {
    const where = this.#canLeave(name)
      ? `${this.#users(name)} answered with others`
      : 'no other backend takes users, so they stay, and who is new is answered with none';
    return this.#change(name, { state }, `${name} is ${state}: ${where}.`);
  }

  #ask(question) {
    this.#store.set({ question });
  }

  /** Changes fields of a backend, and offers to put back what they were: as they are now, the list may be older. */
  #change(name, fields, text) {
    return this.#try(name, async () => {
      const before = await this.#now(name);
      if (before === undefined) {
        this.#store.toast(`${name} is no backend any more.`, { isProblem: true });
        return;
      }
      const was = Object.fromEntries(Object.keys(fields).map((field) => [field, before[field]]));
      const after = await this.#patch(name, fields);
      this.#done(text, { name, undo: () => this.#undo(name, after, was) });
    });
  }

  async #now(name) {
    const { backends } = await this.#api.backends;
    return backends.find((backend) => backend.name === name);
  }

  async #patch(name, fields) {
    const after = await this.#api.patchBackend(name, fields);
    this.#made.set(name, { ...this.#made.get(name), ...fields });
    return after;
  }

  /**
   * Only what is still as it was made: a change since is left alone.
   * @returns false where nothing was tried; else it is undone, or why not is told, and where it may be tried again that is offered
   */
  #undo(name, after, was) {
    const run = () => this.#takeBack(name, after, was);
    if ((was.state ?? 'active') === 'active' || this.#canLeave(name)) return run();
    this.#ask({
      title: `Put ${name} back to ${was.state}? No other backend takes users.`,
      text: this.#nowhereText(name),
      confirm: 'Put it back',
      run,
    });
    return false;
  }

  #takeBack(name, after, was) {
    const offer = { name, undo: () => this.#undo(name, after, was) };
    const undo = async () => {
      const now = await this.#now(name);
      const others = Object.keys(was).filter((field) => now?.[field] !== after[field]);
      if (others.length === 0) {
        await this.#patch(name, was);
        this.#done(`Undone: ${name} is as it was.`, { name });
      } else if (now !== undefined && others.every((field) => now[field] === this.#made.get(name)?.[field])) {
        this.#store.toast(`${name} was changed here since: it is left as it is.`, { isProblem: true });
      } else {
        this.#store.toast(`${name} was changed by somebody else since: it is left as it is.`, { isProblem: true });
      }
    };
    return this.#try(name, undo, offer);
  }

  /** @param about see `toast` of the store */
  #done(text, about) {
    this.#store.tell(text);
    this.#store.toast(text, about);
  }

  /**
   * One change of a backend at a time.
   * @param offer what its failure is told with
   * @returns false where another one is under way
   */
  async #try(name, action, offer = {}) {
    const { busy } = this.#store;
    if (busy.has(name)) return false;
    this.#store.set({ busy: new Set([...busy, name]) });
    try {
      await action();
    } catch (error) {
      // That the token is refused is told by the page that asks for another.
      if (error.status !== 401) this.#store.toast(error.message, { isProblem: true, ...offer });
    } finally {
      const left = new Set(this.#store.busy);
      left.delete(name);
      this.#store.set({ busy: left });
      await this.refresh();
    }
    return true;
  }
}

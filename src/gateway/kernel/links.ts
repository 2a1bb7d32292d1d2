/**
 * The program on the interfaces: attached by links, which are pinned, so that it goes on answering when the
 * daemon is gone, and replaced by another version of itself between two packets. A link belongs to an interface's index;
 * its pin bears the interface's name, and follows when that changes.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import {
  attachedXdp,
  attachXdp,
  BpfError,
  detachLink,
  openPin,
  pin,
  programId,
  updateLink,
  type XdpMode,
  xdpLinkInfo,
} from './libbpf.ts';
import { interfaceIndex, interfaceName } from './libc.ts';
import type { Pins } from './pins.ts';

export type AttachRequest = 'native' | 'generic' | 'auto';

export interface AttachedInterface {
  name: string;
  /** What the driver does with the program; "missing" while there is no such interface. */
  mode: XdpMode | 'offloaded' | 'several' | 'missing';
}

export class AttachError extends Error {
  override readonly name = 'AttachError';
}

export interface AttachEvents {
  /** Native mode was refused and generic is used: every packet costs an allocation first. */
  generic(interfaceName: string, reason: string): void;
  attached(interfaceName: string, mode: XdpMode): void;
  /** The mode that is asked for was refused, and the program that was answering already goes on in the other one. */
  kept(interfaceName: string, mode: XdpMode, reason: string): void;
}

interface PinnedLink {
  path: string;
  /** 0 once the interface is gone. */
  index: number;
  programId: number;
}

export class Links {
  readonly #pins: Pins;
  readonly #request: AttachRequest;
  readonly #events: AttachEvents;

  constructor(pins: Pins, request: AttachRequest, events: AttachEvents) {
    this.#pins = pins;
    this.#request = request;
    this.#events = events;
  }

  /** What is pinned and is a link of ours. */
  #pinned(): PinnedLink[] {
    return this.#pins.linkFiles().flatMap((path) => {
      const link = openPin(path);
      const info = link === undefined ? undefined : xdpLinkInfo(link);
      if (link !== undefined) fs.closeSync(link);
      return info === undefined ? [] : [{ path, index: info.interfaceIndex, programId: info.programId }];
    });
  }

  #find(name: string): PinnedLink | undefined {
    const index = interfaceIndex(name);
    return index === 0 ? undefined : this.#pinned().find((link) => link.index === index);
  }

  /** Whether a program of ours is attached and answering. */
  isAttached(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** Whether every program of ours that answers is this one. */
  areAll(programFd: number): boolean {
    const id = programId(programFd);
    return this.#pinned().every((link) => link.index === 0 || link.programId === id);
  }

  /** Gives each pin the present name of its interface, and forgets links whose interface is gone. */
  tidy(): void {
    const misnamed: { link: PinnedLink; right: string }[] = [];
    for (const link of this.#pinned()) {
      const name = link.index === 0 ? undefined : interfaceName(link.index);
      if (link.index === 0) fs.rmSync(link.path, { force: true });
      else if (name !== undefined && this.#pins.link(name) !== link.path)
        misnamed.push({ link, right: this.#pins.link(name) });
    }
    // In two steps, since two interfaces may have changed names with each other.
    for (const { link } of misnamed) fs.renameSync(link.path, join(this.#pins.links, `${link.index}-renamed`));
    for (const { link, right } of misnamed) fs.renameSync(join(this.#pins.links, `${link.index}-renamed`), right);
  }

  /**
   * Puts the program on an interface: in the place of the one that is pinned there, or anew.
   * @throws AttachError when there is no such interface, or it can't be attached to
   */
  attach(name: string, programFd: number): void {
    const index = indexOf(name);
    const pinned = this.#find(name);
    if (pinned !== undefined) {
      this.#replace(name, pinned, programFd);
      return;
    }
    const path = this.#pins.link(name);
    fs.rmSync(path, { force: true }); // of an interface that is gone
    pinAndClose(this.#attachAnew(name, index, programFd), path);
  }

  #replace(name: string, { path, index }: PinnedLink, programFd: number): void {
    const link = openPin(path);
    if (link === undefined) throw new AttachError(`the pin ${path} went away`);
    try {
      const mode = attachedXdp(index)?.mode;
      if (this.#request === 'auto' || this.#request === mode || (mode !== 'native' && mode !== 'generic')) {
        updateLink(link, programFd);
        return;
      }
      // The kernel takes one mode at a time, so there are packets in between that the host gets.
      detachLink(link);
      fs.rmSync(path, { force: true });
      pinAndClose(this.#attachOrKeep(name, index, programFd, this.#request, mode), path);
    } finally {
      fs.closeSync(link);
    }
  }

  #attachOrKeep(name: string, index: number, programFd: number, asked: XdpMode, former: XdpMode): number {
    try {
      const link = attachXdp(programFd, index, asked);
      this.#events.attached(name, asked);
      return link;
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      const link = attachXdp(programFd, index, former);
      this.#events.kept(name, former, error.errno);
      return link;
    }
  }

  #attachAnew(name: string, index: number, programFd: number): number {
    const modes: XdpMode[] = this.#request === 'auto' ? ['native', 'generic'] : [this.#request];
    let refused: BpfError | undefined;
    for (const mode of modes) {
      try {
        const link = attachXdp(programFd, index, mode);
        if (refused !== undefined) this.#events.generic(name, refused.errno);
        this.#events.attached(name, mode);
        return link;
      } catch (error) {
        if (!(error instanceof BpfError)) throw error;
        if (error.errno === 'EBUSY' || error.errno === 'EEXIST') {
          throw new AttachError(
            `"${name}" has an XDP program of another owner: see "ip link show ${name}", and detach that one first`,
            { cause: error },
          );
        }
        refused = error;
      }
    }
    throw new AttachError(
      `the XDP program can't be attached to "${name}" (${refused?.message}): ` +
        'native mode needs a driver with XDP and an MTU of at most 3,498 on most; "attach: generic" works with any',
      { cause: refused },
    );
  }

  state(name: string): AttachedInterface {
    const index = interfaceIndex(name);
    const attached = index !== 0 && this.isAttached(name) ? attachedXdp(index) : undefined;
    return { name, mode: attached?.mode ?? 'missing' };
  }

  /**
   * Takes the program off every interface but these, and forgets it there.
   * @returns names of the interfaces it was on
   */
  detachAllBut(names: readonly string[]): string[] {
    this.tidy();
    const kept = new Set(names.map(interfaceIndex));
    const others = this.#pinned().filter(({ index }) => !kept.has(index));
    for (const { path } of others) detach(path);
    return others.map(({ index }) => interfaceName(index) ?? `interface ${index}`);
  }

  detach(name: string): void {
    const pinned = this.#find(name);
    if (pinned !== undefined) detach(pinned.path);
  }
}

/** @throws AttachError */
export function indexOf(name: string): number {
  const index = interfaceIndex(name);
  if (index !== 0) return index;
  throw new AttachError(`there is no interface "${name}" here: "ip link" lists those that there are`);
}

function pinAndClose(link: number, path: string): void {
  try {
    pin(link, path);
  } finally {
    fs.closeSync(link);
  }
}

function detach(path: string): void {
  const link = openPin(path);
  if (link === undefined) return;
  try {
    detachLink(link);
  } catch (error) {
    // The kernel cuts the link itself when an interface goes (ENOLINK).
    if (!(error instanceof BpfError && error.errno === 'ENOLINK')) throw error;
  } finally {
    fs.closeSync(link);
  }
  fs.rmSync(path, { force: true });
}

/**
 * The program on the interfaces: attached by links, which are pinned, so that it goes on answering when the
 * daemon is gone, and replaced by another version of itself between two packets.
 */
import * as fs from 'node:fs';
import {
  attachedXdp,
  attachXdp,
  BpfError,
  detachLink,
  openPin,
  pin,
  updateLink,
  type XdpMode,
  xdpLinkInfo,
} from './libbpf.ts';
import { interfaceIndex } from './libc.ts';
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

  /** Whether something of an earlier daemon is attached and answering. */
  isAttached(name: string): boolean {
    const link = openPin(this.#pins.link(name));
    if (link === undefined) return false;
    const { interfaceIndex: attachedTo } = xdpLinkInfo(link);
    fs.closeSync(link);
    return attachedTo !== 0 && attachedTo === interfaceIndex(name);
  }

  /**
   * Puts the program on an interface: in the place of the one that is pinned there, or anew.
   * @throws AttachError when there is no such interface, or it can't be attached to
   */
  attach(name: string, programFd: number): void {
    const index = interfaceIndex(name);
    if (index === 0)
      throw new AttachError(`there is no interface "${name}" here: "ip link" lists those that there are`);
    const path = this.#pins.link(name);
    if (this.isAttached(name)) {
      const link = openPin(path);
      if (link !== undefined) {
        updateLink(link, programFd);
        fs.closeSync(link);
        return;
      }
    }
    fs.rmSync(path, { force: true }); // of an interface that is gone
    const link = this.#attachAnew(name, index, programFd);
    try {
      pin(link, path);
    } finally {
      fs.closeSync(link);
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

  /** Takes the program off an interface and forgets it. */
  detach(name: string): void {
    const path = this.#pins.link(name);
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
}

/** Markup in template strings (htm) as Preact's elements. Imported by every part of the page that is seen. */
import htm from 'htm';
import { h } from 'preact';

/** @type {(strings: TemplateStringsArray, ...values: unknown[]) => any} */
export const html = /** @type {any} */ (htm).bind(h);

/** Markup in template strings (htm) as Preact's elements. Imported by every part of the page that is seen. */
import htm from 'htm';
import { h } from 'preact';

export const html = htm.bind(h);

// The WebSocket to the session of this tab; it connects again when the server comes back.

import {decode} from "./frames.js";

const LONGEST_WAIT = 3000;

export class Connection {
  constructor() {
    this.handlers = {};
    this.wait = 300;
  }

  /** Call `handler(message)` for every message of this type, and for "connected" and "lost". */
  on(type, handler) {
    (this.handlers[type] ??= []).push(handler);
  }

  connect() {
    const socket = new WebSocket(new URL("socket", location.href.replace(/^http/, "ws").split(/[?#]/)[0]));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { this.wait = 300; this.call({type: "connected"}); };
    socket.onclose = () => {
      this.call({type: "lost"});
      this.wait = Math.min(this.wait * 1.6, LONGEST_WAIT);
      setTimeout(() => this.connect(), this.wait);
    };
    socket.onmessage = ({data}) => this.call(typeof data === "string" ? JSON.parse(data) : decode(data));
    this.socket = socket;
  }

  send(type, values = {}) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({type, ...values}));
  }

  call(message) {
    for (const handler of this.handlers[message.type] ?? []) handler(message);
  }
}

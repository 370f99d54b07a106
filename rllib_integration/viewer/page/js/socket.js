// The one socket to the viewer. It comes back by itself, however it was lost.

const PAUSES = [300, 1000, 2000, 4000]; // [ms] before another attempt
const WRONG_TOKEN = 4401;

export class Connection extends EventTarget {
  /** @param {string} token what the address of the page ended in, or "" */
  constructor(token) {
    super();
    this.token = token;
    this.failures = 0;
    this.bytes = 0;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      socket.send(JSON.stringify({ token: this.token }));
      this.isOpen = true;
      this.failures = 0;
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = ({ data }) => {
      this.bytes += data.byteLength;
      this.dispatchEvent(new MessageEvent("message", { data }));
    };
    socket.onclose = ({ code }) => {
      this.isOpen = false;
      this.refused = code === WRONG_TOKEN;
      this.dispatchEvent(new Event("closed"));
      if (!this.refused) setTimeout(() => this.open(), PAUSES[Math.min(this.failures++, PAUSES.length - 1)]);
    };
    this.socket = socket;
  }

  send(command) {
    if (this.isOpen) this.socket.send(JSON.stringify(command));
  }
}

// The one socket to the viewer. It comes back by itself, however it was lost.

const PAUSES = [300, 1000, 2000, 4000]; // [ms] before another attempt
const WRONG_TOKEN = 4401;
const LISTEN = 3000; // [ms] between two looks whether the viewer still says something, as it does all the time
const QUIET_LOOKS = 10; // in a row after which a connection that nobody has closed is given up; a busy machine is quiet

export class Connection extends EventTarget {
  /** @param {string} token what the address of the page ended in, or "" */
  constructor(token) {
    super();
    this.token = token;
    this.failures = 0;
    this.bytes = 0;
    this.quietLooks = 0;
    this.mostQuietLooks = QUIET_LOOKS;
    this.open();
    setInterval(() => this.listen(), LISTEN);
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      socket.send(JSON.stringify({ token: this.token }));
      this.isOpen = true;
      this.failures = this.quietLooks = 0;
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = ({ data }) => {
      this.bytes += data.byteLength;
      this.quietLooks = 0;
      this.dispatchEvent(new MessageEvent("message", { data }));
    };
    socket.onclose = ({ code }) => this.lose(code);
    this.socket = socket;
  }

  /** Goes on with another connection, unless the viewer wants none. */
  lose(code) {
    this.isOpen = false;
    this.refused = code === WRONG_TOKEN;
    this.dispatchEvent(new Event("closed"));
    if (!this.refused) setTimeout(() => this.open(), PAUSES[Math.min(this.failures++, PAUSES.length - 1)]);
  }

  /** Notices a way that is broken without anybody having said so: a machine that sleeps, a network that is gone. */
  listen() {
    if (!this.isOpen || ++this.quietLooks < this.mostQuietLooks) return;
    const { socket } = this;
    socket.onclose = socket.onmessage = null; // it may take minutes to find out by itself
    socket.close();
    this.lose(0);
  }

  send(command) {
    if (this.isOpen) this.socket.send(JSON.stringify(command));
  }
}

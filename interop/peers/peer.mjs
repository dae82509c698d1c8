// What every peer looks like to a case: `call` and a record of its events.
import assert from "node:assert/strict";

export class Peer {
  #transmit;
  #seen = [];
  #taken = new Set();
  #waiting = [];

  constructor(kind, uid, transmit) {
    this.kind = kind;
    this.uid = uid;
    this.#transmit = transmit;
  }

  call(name, args = {}) {
    return this.#transmit(name, args);
  }

  // Asserts that the call is refused with the vendor's number `code`.
  async refused(code, name, args = {}) {
    let answer;
    try {
      answer = await this.call(name, args);
    } catch (error) {
      assert.equal(error.code, code, `${this.kind}: ${name} was refused with ${JSON.stringify(error)}, not with code ${code}`);
      return;
    }
    assert.fail(`${this.kind}: ${name} went through with ${JSON.stringify(answer)}, expected code ${code}`);
  }

  happened(event) {
    const index = this.#seen.push(event) - 1;
    const waiter = this.#waiting.find((one) => matches(event, one.pattern));
    if (waiter) {
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      this.#taken.add(index);
      waiter.resolve(event);
    }
  }

  // The first event, seen or still to come, that has all of `pattern`; each event is given once.
  expects(pattern, ms = 5000) {
    const index = this.#seen.findIndex((event, i) => !this.#taken.has(i) && matches(event, pattern));
    if (index >= 0) {
      this.#taken.add(index);
      return Promise.resolve(this.#seen[index]);
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(
        `${this.kind} ${this.uid} saw no ${JSON.stringify(pattern)} within ${ms} ms, but ${JSON.stringify(this.#seen)}`)), ms);
      this.#waiting.push({ pattern, resolve: (event) => { clearTimeout(timer); resolve(event); } });
    });
  }

  all(pattern) {
    return this.#seen.filter((event) => matches(event, pattern));
  }

  never(pattern) {
    assert.deepEqual(this.all(pattern), [], `${this.kind} ${this.uid} saw what it should not have seen`);
  }
}

export function matches(value, pattern) {
  if (typeof pattern !== "object" || pattern === null) return value === pattern;
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(pattern).every(([key, part]) => matches(value[key], part));
}

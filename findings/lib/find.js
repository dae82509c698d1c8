// What every find in JavaScript uses: say what was seen, and fail if it is no longer the surprise.
"use strict";
const { inspect, isDeepStrictEqual } = require("node:util");

let changed = false;

// Prints `value` and remembers whether it still is `surprise`.
exports.seen = (what, value, surprise) => {
    console.log(`seen: ${what}: ${inspect(value, { breakLength: Infinity })}`);
    if (!isDeepStrictEqual(value, surprise)) {
        changed = true;
        console.log(`CHANGED: ${what}: was ${inspect(surprise, { breakLength: Infinity })}`);
    }
};

// Ends the program: status 1 if anything has changed.
exports.finish = () => process.exit(changed ? 1 : 0);

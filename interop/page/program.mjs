// The vendor's own example program for RtmClientEvents, with all six events, shown in the page.
// Address: ?server=HOST:PORT&app=APPID&uid=UID[&token=TOKEN]
import ArRTM from "ar-rtm-sdk";

const query = new URLSearchParams(location.search);
const [host, port] = (query.get("server") ?? "127.0.0.1:8080").split(":");
const appId = query.get("app");
const uid = query.get("uid");

const client = ArRTM.createInstance(appId, {
  enableLogUpload: false,
  logFilter: ArRTM.LOG_FILTER_OFF,
  confPriCloudAddr: { ServerAdd: host, Port: Number(port), Wss: false },
});

client.on("ConnectionStateChanged", (newState, reason) => {
  showState(newState);
  show("ConnectionStateChanged", `${newState}${reason ? `, ${reason}` : ""}`);
});
client.on("MessageFromPeer", (message, peerId, messageProps) => {
  const time = new Date(messageProps.serverReceivedTs).toLocaleTimeString("en-GB");
  show("MessageFromPeer", `${peerId}: ${message.text}`, `${messageProps.isOfflineMessage ? "stored" : "live"}, taken by the server at ${time}`);
});
client.on("RemoteInvitationReceived", (remoteInvitation) => {
  const row = show("RemoteInvitationReceived", `${remoteInvitation.callerId} calls: ${remoteInvitation.content}`);
  const settle = (text) => { row.querySelector(".more").textContent = text; };
  for (const [label, answer] of [["Accept", "accept"], ["Refuse", "refuse"]]) {
    const button = document.createElement("button");
    button.textContent = label;
    button.onclick = () => {
      remoteInvitation.response = `${answer} from the page`;
      remoteInvitation[answer]();
    };
    row.querySelector(".more").append(button);
  }
  remoteInvitation.on("RemoteInvitationAccepted", () => settle("accepted"));
  remoteInvitation.on("RemoteInvitationRefused", () => settle("refused"));
  remoteInvitation.on("RemoteInvitationCanceled", () => settle("canceled by the caller"));
  remoteInvitation.on("RemoteInvitationFailure", (reason) => settle(`failed: ${reason}`));
});
client.on("PeersOnlineStatusChanged", (peerOnlineStatus) => {
  show("PeersOnlineStatusChanged", Object.entries(peerOnlineStatus).map(([peer, state]) => `${peer} ${state}`).join(", "));
});
client.on("TokenWillExpired", () => show("TokenWillExpired", "get a new token and call renewToken"));
client.on("TokenDidExpired", () => {
  showState("DISCONNECTED"); // the SDK tells no change of state here
  show("TokenDidExpired", "the session has ended: log in again");
});

document.querySelector("#uid").textContent = uid;
document.querySelector("#send").onsubmit = async (event) => {
  event.preventDefault();
  const { peer, text } = event.target.elements;
  const { hasPeerReceived } = await client.sendMessageToPeer({ text: text.value }, peer.value);
  show("sendMessageToPeer", `to ${peer.value}: ${text.value}`, hasPeerReceived ? "received" : "not received");
  text.value = "";
};
document.querySelector("#subscribe").onsubmit = (event) => {
  event.preventDefault();
  client.subscribePeersOnlineStatus([event.target.elements.peer.value]);
};

client.login({ uid, token: query.get("token") ?? undefined })
  .then(() => show("login", "done"))
  .catch((error) => show("login", `refused with code ${error?.code ?? error}`));

function showState(state) {
  document.querySelector("#state").textContent = state;
  document.querySelector("#state").dataset.state = state;
}

function show(name, text, more = "") {
  const row = document.querySelector("#row").content.cloneNode(true).firstElementChild;
  row.dataset.event = name;
  row.querySelector(".at").textContent = new Date().toLocaleTimeString("en-GB");
  row.querySelector(".name").textContent = name;
  row.querySelector(".text").textContent = text;
  row.querySelector(".more").textContent = more;
  document.querySelector("#events").append(row);
  return row;
}

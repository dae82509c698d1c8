//! Requests over one subscription: what is no longer waited for leaves nothing behind, also when it was never answered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use async_nats::{Client, HeaderMap, Message, StatusCode, connection::State};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, timeout_at},
};

/// Asks over NATS.
#[derive(Debug)]
pub(crate) struct Requests {
    client: Client,
    inbox: String,
    table: Arc<Table>,
    reader: AbortHandle,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// Nobody got the request: it has done nothing.
    #[error("nobody answers at {0}")]
    NoResponders(String),
    /// The connection is lost: nothing was sent.
    #[error("the connection to NATS is lost")]
    NotConnected,
    /// Whether anybody got it is unknown.
    #[error("no answer came in time")]
    TimedOut,
    /// It was not sent.
    #[error("it cannot be sent: {0}")]
    NotSent(String),
    /// The answer is an error.
    #[error("JetStream refuses it: {0}")]
    Refused(String),
}

#[derive(Debug, Default)]
struct Table(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    open: HashMap<u64, Answers>,
}

/// Where answers to a request go.
#[derive(Debug)]
enum Answers {
    One(oneshot::Sender<Message>),
    Many(mpsc::UnboundedSender<Message>),
}

/// Strikes a request off when nobody waits for it any more.
struct Open<'a> {
    table: &'a Table,
    number: u64,
}

impl Requests {
    /// Begins to listen for answers. Waits while NATS is away.
    pub(crate) async fn new(client: Client) -> Result<Self, NoAnswer> {
        let inbox = client.new_inbox();
        let subscribed = client.subscribe(format!("{inbox}.*")).await;
        let mut answers = subscribed.map_err(|error| NoAnswer::NotSent(error.to_string()))?;
        let table = Arc::<Table>::default();
        let (reads, prefix) = (Arc::clone(&table), inbox.len() + 1);
        let reader = tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                if let Some(number) = answer.subject.get(prefix..).and_then(|number| number.parse().ok()) {
                    reads.hand_out(number, answer);
                }
            }
        });
        Ok(Self { client, inbox, table, reader: reader.abort_handle() })
    }

    /// The one answer to a request, until a moment.
    pub(crate) async fn ask(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        until: Instant,
    ) -> Result<Message, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let open = self.table.open(Answers::One(answer));
        let asking = async {
            self.send(subject, open.number, headers, payload).await?;
            answered.await.map_err(|_| NoAnswer::TimedOut)
        };
        let answer = timeout_at(until, asking).await.map_err(|_| NoAnswer::TimedOut)??;
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(NoAnswer::NoResponders(subject.to_owned()));
        }
        Ok(answer)
    }

    /// All answers to a request up to one with a status, which is the last of them. Gives up at a moment: then the answers
    /// that had come by then are all.
    pub(crate) async fn ask_for_many(
        &self,
        subject: &str,
        payload: Bytes,
        until: Instant,
    ) -> Result<(Vec<Message>, Option<StatusCode>), NoAnswer> {
        let (answer, mut answered) = mpsc::unbounded_channel();
        let open = self.table.open(Answers::Many(answer));
        let sent = timeout_at(until, self.send(subject, open.number, HeaderMap::new(), payload)).await;
        sent.map_err(|_| NoAnswer::TimedOut)??;
        let mut all = Vec::new();
        while let Ok(Some(answer)) = timeout_at(until, answered.recv()).await {
            match answer.status {
                Some(StatusCode::NO_RESPONDERS) => return Err(NoAnswer::NoResponders(subject.to_owned())),
                Some(status) => return Ok((all, Some(status))),
                None => all.push(answer),
            }
        }
        Ok((all, None))
    }

    /// Which connection there is, or was last, by a number that rises.
    pub(crate) fn connection(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    async fn send(&self, subject: &str, number: u64, headers: HeaderMap, payload: Bytes) -> Result<(), NoAnswer> {
        // async-nats keeps what it is given without a connection, and sends it when it has one again: nobody may want it then,
        // and the node may have been put out meanwhile.
        if self.client.connection_state() != State::Connected {
            return Err(NoAnswer::NotConnected);
        }
        let (subject, reply) = (subject.to_owned(), format!("{}.{number}", self.inbox));
        let sent = if headers.is_empty() {
            self.client.publish_with_reply(subject, reply, payload).await
        } else {
            self.client.publish_with_reply_and_headers(subject, reply, headers, payload).await
        };
        sent.map_err(|error| NoAnswer::NotSent(error.to_string()))
    }
}

impl NoAnswer {
    /// Whether nothing was done, for certain.
    pub(crate) fn is_not_done(&self) -> bool {
        match self {
            Self::NoResponders(_) | Self::NotConnected | Self::NotSent(_) => true,
            Self::TimedOut | Self::Refused(_) => false,
        }
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Table {
    fn open(&self, answers: Answers) -> Open<'_> {
        let mut waiting = self.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.open.insert(number, answers);
        Open { table: self, number }
    }

    fn hand_out(&self, number: u64, answer: Message) {
        let mut waiting = self.lock();
        // Whoever asked may have gone.
        if let Some(Answers::Many(sender)) = waiting.open.get(&number) {
            drop(sender.send(answer));
        } else if let Some(Answers::One(sender)) = waiting.open.remove(&number) {
            drop(sender.send(answer));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.table.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const ANSWER: Duration = Duration::from_secs(10);

    fn answer(subject: &str) -> Message {
        let subject = subject.into();
        Message {
            subject,
            reply: None,
            payload: Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    /// Takes a connection as a server of NATS does, up to where it may be used.
    async fn greet(listener: &TcpListener) -> BufReader<TcpStream> {
        let (connection, _) = listener.accept().await.unwrap();
        let mut connection = BufReader::new(connection);
        let info = r#"INFO {"server_id":"s","server_name":"s","version":"2.12.0","host":"h","port":4222,"max_payload":1048576,"proto":1,"headers":true}"#;
        connection.write_all(format!("{info}\r\n").as_bytes()).await.unwrap();
        until_line(&mut connection, "PING").await;
        connection.write_all(b"PONG\r\n").await.unwrap();
        connection
    }

    /// The first line that begins so.
    async fn until_line(connection: &mut BufReader<TcpStream>, begin: &str) -> String {
        let mut line = String::new();
        while !line.starts_with(begin) {
            line.clear();
            assert!(connection.read_line(&mut line).await.unwrap() > 0, "the connection has ended before {begin}");
        }
        line
    }

    #[tokio::test]
    async fn what_is_asked_without_a_connection_is_not_sent_when_there_is_one_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, mut told) = mpsc::unbounded_channel();
        let options = async_nats::ConnectOptions::new().event_callback(move |event| {
            let _ = tell.send(event);
            async {}
        });
        let (first, client) = tokio::join!(greet(&listener), options.connect(address.to_string()));
        let (requests, until) = (Requests::new(client.unwrap()).await.unwrap(), Instant::now() + ANSWER);
        let ask = |subject: &'static str| requests.ask(subject, HeaderMap::new(), Bytes::from_static(b"x"), until);

        drop(first);
        while told.recv().await != Some(async_nats::Event::Disconnected) {}
        assert_eq!(ask("while.away").await.err(), Some(NoAnswer::NotConnected));
        let many = requests.ask_for_many("while.away", Bytes::new(), until).await;
        assert_eq!(many.err(), Some(NoAnswer::NotConnected));
        assert!(NoAnswer::NotConnected.is_not_done());

        let mut second = greet(&listener).await;
        while told.recv().await != Some(async_nats::Event::Connected) {}
        let asked = tokio::spawn(async move { until_line(&mut second, "PUB").await });
        tokio::select! {
            line = asked => assert!(line.unwrap().starts_with("PUB when.back "), "what was asked before must not come"),
            answer = ask("when.back") => panic!("{answer:?}"),
        }
    }

    #[test]
    fn nothing_is_left_of_a_request_that_nobody_waits_for() {
        let table = Table::default();
        let (one, mut answered) = oneshot::channel();
        let (many, mut all) = mpsc::unbounded_channel();
        let requests = [table.open(Answers::One(one)), table.open(Answers::Many(many))];
        let [first, second] = requests.each_ref().map(|open| open.number);
        for _ in 0..2 {
            table.hand_out(first, answer("first"));
            table.hand_out(second, answer("second"));
        }
        table.hand_out(7, answer("to nobody"));
        assert_eq!(answered.try_recv().map(|answer| answer.subject.to_string()), Ok("first".to_owned()));
        assert!(all.try_recv().is_ok() && all.try_recv().is_ok() && all.try_recv().is_err());
        drop(requests);
        assert!(table.lock().open.is_empty());
        table.hand_out(second, answer("late"));
    }
}

//! The configuration file: what it may say, and how what is wrong with it is named.

use std::{error::Error, net::TcpListener, time::Duration};

use rtm_codec::{CallLimit, LimitedCall};
use rtm_server::{Advertise, ConfigErrorKind, ProjectConfig, Server, ServerConfig, ServerErrorKind};

use crate::support::app_id;

const EXAMPLE: &str = include_str!("../../src/config/example.toml");
const APP_LINE: &str = "[[project]]\napp_id = '0123456789abcdef0123456789abcdef'\n";

#[test]
#[cfg_attr(
    not(feature = "webhooks"),
    ignore = "the example has hooks, which a server without the feature does not know"
)]
fn every_key_is_read() {
    let config = ServerConfig::from_toml_str(EXAMPLE).unwrap();
    let listen: Vec<_> = config.listen.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(listen, ["127.0.0.1:8080", "[::1]:8080"]);
    assert_eq!(config.advertise, Some("rtm.example.com:443".parse().unwrap()));
    assert_eq!(config.data_dir.unwrap().to_str(), Some("/var/lib/rtm"));
    assert_eq!(config.tls.as_ref().unwrap().certificates[0].key().to_str(), Some("/etc/rtm/key.pem"));
    assert_eq!(config.drain_time, Some(Duration::from_secs(10)));
    assert_eq!((config.drain_delay, config.drain_rate), (Duration::ZERO, 500));
    assert_eq!(config.log.level.as_deref(), Some("info,async_nats=off"));
    assert_eq!(config.max_connections_per_address, 1000);
    assert_eq!(config.connects_per_address, CallLimit::new(200, Duration::from_secs(1)));
    assert_eq!(config.refused_logins_per_address, CallLimit::new(120, Duration::from_secs(60)));
    let [open, secure] = &config.projects[..] else { panic!("two projects") };
    assert_eq!((&open.app_id, open.certificates.len()), (&app_id(), 0));
    assert_eq!(secure.certificates.len(), 2);
    #[cfg(feature = "rest")]
    {
        assert!(config.rest.enabled);
        let rest = &secure.rest;
        assert_eq!(
            (rest.keys[0].id.as_str(), rest.keys[0].secret_sha256[..2].to_vec()),
            ("back-end", vec![0x2b, 0xb8])
        );
        assert_eq!((rest.limit, rest.tokens_may), (open.rest.limit, open.rest.tokens_may));
        assert!(open.rest.keys.is_empty());
    }
    assert_eq!(secure.limits.get(LimitedCall::SendMessage), CallLimit::new(360, Duration::from_secs(3)));
    assert_eq!(secure.limits.get(LimitedCall::Login).calls(), 0);
    let untouched = ProjectConfig::new(app_id());
    assert_eq!(secure.limits.get(LimitedCall::GetMembers), untouched.limits.get(LimitedCall::GetMembers));
    assert_eq!(open.settings, untouched.settings);
    // Every setting is there, with its default.
    assert_eq!(secure.settings, untouched.settings);
    let fields = format!("{:?}", untouched.settings);
    let names: Vec<_> = fields.split(['{', ',']).filter_map(|field| Some(field.split_once(": ")?.0.trim())).collect();
    assert!(names.contains(&"unreachable_after") && names.contains(&"keep_attributes_on_return"), "{names:?}");
    for name in names {
        assert!(EXAMPLE.contains(&format!("\n{name} = ")), "{name} is missing");
    }
}

#[cfg(feature = "admin")]
#[test]
fn the_names_of_the_admin_listener_are_names_of_hosts() {
    let read = |host: &str| ServerConfig::from_toml_str(&format!("[admin]\nhosts = ['ops', '{host}']\n"));
    for host in ["admin.example.com", "rtm_ops-1", "LOCALHOST", "192.0.2.1", "[2001:db8::1]", "2001:db8::1"] {
        read(host).unwrap_or_else(|error| panic!("{host}: {error}"));
    }
    let long = "a".repeat(64);
    for host in
        ["", "https://example.com", "example.com:8090", "example.com/", "*.example.com", "a b", "-a", "a..b", &long]
    {
        let error = read(host).unwrap_err().to_string();
        assert!(error.contains("admin.hosts[1]") && error.contains("no host name"), "{host}: {error}");
    }
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_is_read_and_checked() {
    let section = EXAMPLE.split("# [cluster]\n").nth(1).unwrap();
    let keys = section.lines().take_while(|line| line.starts_with("# "));
    let keys: Vec<_> = keys.map(|line| &line[2..]).filter(|line| !line.starts_with("Instead")).collect();
    let text = format!("[cluster]\n{}", keys.join("\n"));
    let cluster = ServerConfig::from_toml_str(&text).unwrap().cluster.unwrap();
    let nats: Vec<_> = cluster.nats.iter().map(ToString::to_string).collect();
    assert_eq!(nats, ["nats://nats-1:4222", "nats://nats-2:4222", "nats://nats-3:4222"]);
    assert_eq!(cluster.nats_password_file.unwrap().to_str(), Some("/etc/rtm/nats-password"));
    assert_eq!(cluster.nats_tls.unwrap().client.unwrap().1.to_str(), Some("/etc/rtm/nats-key.pem"));
    assert_eq!((cluster.name.as_str(), cluster.node.unwrap().as_str()), ("main", "rtm-1"));
    assert_eq!((cluster.replicas, cluster.isolated_for), (Some(3), Duration::from_secs(30)));

    let wrong = |text: &str| ServerConfig::from_toml_str(text).unwrap_err().to_string();
    let nats = "[cluster]\nnats = 'nats://127.0.0.1:4222'\n";
    for (text, what) in [
        ("[cluster]\n".to_owned(), "missing field `nats`"),
        ("[cluster]\nnats = 'http://127.0.0.1'\n".to_owned(), "is not an address of NATS"),
        (format!("data_dir = 'x'\n{nats}"), "in a cluster NATS keeps everything"),
        (format!("{nats}nats_user = 'rtm'\n"), "nats_user and nats_password_file belong together"),
        (format!("{nats}nats_credentials = 'a'\nnats_nkey_file = 'b'\n"), "more than one way to log in"),
        (format!("{nats}nats_credentials = 'a'\nnats_token_file = 'b'\n"), "more than one way to log in"),
        (format!("{nats}name = 'a.b'\n"), "letters, digits, - and _"),
        (format!("{nats}node = 'a b'\n"), "visible ASCII characters"),
        (format!("{nats}replicas = 6\n"), "it has to be 1 to 5"),
        (format!("{nats}isolated_for = '1s'\n"), "it is shorter than 5s"),
    ] {
        assert!(wrong(&text).contains(what), "{text}: {}", wrong(&text));
    }
}

#[test]
fn what_the_file_says_of_all_projects_holds_for_those_that_come_later_too() {
    let text = "[events]\nkeep_count = 7\n";
    #[cfg(feature = "rest")]
    let text = &format!("{text}[rest]\ntokens_may = ['events']\n");
    let mut config = ServerConfig::from_toml_str(text).unwrap();
    let shown = |config: &ServerConfig, key: &str| {
        config.entries().into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    };
    for _ in 0..2 {
        assert_eq!(shown(&config, "events.keep_count").as_deref(), Some("7"));
        #[cfg(feature = "rest")]
        assert_eq!(shown(&config, "rest.tokens_may").as_deref(), Some("[\"events\"]"));
        let project = config.new_project("0123456789abcdef0123456789abcdef".parse().unwrap());
        assert_eq!(project.events.keep_count, 7);
        #[cfg(feature = "rest")]
        assert!(project.rest.tokens_may.events && !project.rest.tokens_may.send);
        config.projects = vec![project];
    }
}

#[test]
fn every_budget_and_every_way_to_write_a_value_is_known() {
    for call in LimitedCall::ALL {
        let name = call.as_str();
        let text = format!("{APP_LINE}limits.{name} = '7/500ms'\n");
        let config = ServerConfig::from_toml_str(&text).unwrap();
        assert_eq!(config.projects[0].limits.get(call), CallLimit::new(7, Duration::from_millis(500)), "{name}");
    }
    let text =
        format!("listen = '[::1]:1'\nlogin_timeout = '1m 30s'\n{APP_LINE}settings = {{ session_bytes = 65536 }}");
    let config = ServerConfig::from_toml_str(&text).unwrap();
    assert_eq!(config.listen.len(), 1);
    assert_eq!(config.login_timeout, Duration::from_secs(90));
    assert_eq!(config.projects[0].settings.session_bytes, 65_536);
    let one = format!("{APP_LINE}certificates = '5cfd2fd1755d40ecb72977518be15d3b'");
    assert_eq!(ServerConfig::from_toml_str(&one).unwrap().projects[0].certificates.len(), 1);
    assert!(ServerConfig::from_toml_str("").unwrap().projects.is_empty());
}

#[test]
fn what_is_wrong_is_named_with_its_key_and_line() {
    use ConfigErrorKind::{Syntax, UnknownKey, Value};
    let secret = "5cfd2fd1755d40ecb72977518be15d3";
    let cases = [
        ("listen = ", Syntax, "", 1, ""),
        ("lisen = '127.0.0.1:1'", UnknownKey, "lisen", 1, "listen"),
        ("\n[tls]\ncertificat = 'x'", UnknownKey, "tls.certificat", 3, "certificate"),
        ("[tls]\ncertificate = 'x'", Value, "tls", 1, "key"),
        ("listen = 'localhost'", Value, "listen", 1, "write 127.0.0.1:8080, [::1]:8080 or localhost:8080"),
        ("listen = '127.0.0.1:70000'", Value, "listen", 1, "write 127.0.0.1:8080, [::1]:8080 or localhost:8080"),
        ("listen = ['127.0.0.1:1', 'x']", Value, "listen[1]", 1, "HOST:PORT"),
        ("\nlisten = 'a:1'\nlisten = 'b:1'", Syntax, "", 3, "the key listen is there twice"),
        ("\n[project]\napp_id = 'x'", Value, "project", 2, "write [[project]]"),
        ("advertise = 'host'", Value, "advertise", 1, "advertise (line 1): \"host\" is not HOST:PORT"),
        ("advertise = 'host:0'", Value, "advertise", 1, "HOST:PORT"),
        ("advertise = 'a b:1'", Value, "advertise", 1, "HOST:PORT"),
        ("login_timeout = 5", Value, "login_timeout", 1, "in quotes with its unit: \"500ms\""),
        ("login_timeout = 'soon'", Value, "login_timeout", 1, "is not a time"),
        ("login_timeout = '400d'", Value, "login_timeout", 1, "longer than a year"),
        ("max_connections = 0", Value, "max_connections", 1, "at least 1"),
        ("max_connections_per_address = -1", Value, "max_connections_per_address", 1, ""),
        ("connects_per_address = '5'", Value, "connects_per_address", 1, "is not a limit"),
        ("connects_per_address = '0/1s'", Value, "connects_per_address", 1, "is not a limit"),
        ("connects_per_address = '5/0s'", Value, "connects_per_address", 1, "is not a limit"),
        ("connects_per_address = '5/2h'", Value, "connects_per_address", 1, "is not a limit"),
        ("[[project]]\napp_id = 'short'", Value, "project[0].app_id", 2, "32 bytes"),
        ("[[project]]", Value, "project[0]", 1, "app_id"),
        ("{APP}[[project]]\napp_id = 'short'", Value, "project[1].app_id", 4, "32 bytes"),
        ("{APP}{APP}", Value, "project[1].app_id", 4, "two projects"),
        ("{APP}certificates = '{SECRET}'", Value, "project[0].certificates", 3, "32 characters"),
        ("{APP}certificates = ['{SECRET}b', '{SECRET}']", Value, "project[0].certificates[1]", 3, "32 characters"),
        (
            "{APP}certificates = ['{SECRET}b', '{SECRET}b', '{SECRET}b']",
            Value,
            "project[0].certificates",
            3,
            "more than 2",
        ),
        ("{APP}certificate = '{SECRET}b'", UnknownKey, "project[0].certificate", 3, "certificates"),
        ("{APP}limits.send_mesage = '1/1s'", UnknownKey, "project[0].limits.send_mesage", 3, "send_message"),
        ("{APP}limits.login = 2", Value, "project[0].limits.login", 3, "in quotes: \"180/3s\""),
        ("{APP}settings.offline = '1s'", UnknownKey, "project[0].settings.offline", 3, "offline_after"),
        ("{APP}settings.offline_after = '1s'", Value, "project[0].settings.offline_after", 3, "unreachable_after"),
        ("{APP}settings.resume_within = '20s'", Value, "project[0].settings.resume_within", 3, "offline_after"),
        ("{APP}settings.offline_after = 30", Value, "project[0].settings.offline_after", 3, "\"10s\""),
        (
            "{APP}[project.settings]\nunreachable_after = '40s'",
            Value,
            "project[0].settings.offline_after",
            3,
            "shorter",
        ),
        ("{APP}settings.session_bytes = '4MB'", Value, "project[0].settings.session_bytes", 3, "KiB"),
        ("{APP}settings.session_bytes = -4", Value, "project[0].settings.session_bytes", 3, "size in bytes"),
        ("{APP}settings.repeat_ids = 0", Value, "project[0].settings.repeat_ids", 3, "at least 1"),
        (
            "{APP}settings.keep_attributes_on_return = 'x'",
            Value,
            "project[0].settings.keep_attributes_on_return",
            3,
            "true or false, without quotes",
        ),
    ];
    for (text, kind, key, line, what) in cases {
        let text = text.replace("{APP}", APP_LINE).replace("{SECRET}", secret);
        let error = ServerConfig::from_toml_str(&text).map(|_| ()).unwrap_err();
        let shown = error.to_string();
        assert_eq!((error.kind(), error.key()), (kind, key), "{text:?}: {shown}");
        assert_eq!(error.line().unwrap_or(0), line, "{text:?}: {shown}");
        assert!(
            shown.contains(what) && shown.starts_with(if key.is_empty() { "the configuration" } else { key }),
            "{shown}"
        );
        assert!(!shown.contains(secret), "a certificate is shown");
    }
}

#[test]
fn an_address_to_advertise_is_a_host_and_a_port() {
    let good =
        [("rtm.example.com:443", "rtm.example.com", 443), ("10.0.0.1:1", "10.0.0.1", 1), ("[::1]:80", "::1", 80)];
    for (text, host, port) in good {
        let address: Advertise = text.parse().unwrap();
        assert_eq!((address.host(), address.port()), (host, port));
    }
    for bad in ["", ":80", "host", "host:", "host:65536", "::1:80", "[::1]", "[host]:80", "http://host:80", "host:80/"]
    {
        assert!(bad.parse::<Advertise>().is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let error = Server::builder().project(app_id()).project(app_id()).bind("127.0.0.1:0").await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Config);
    let first = Server::builder().project(app_id()).bind("127.0.0.1:0").await.unwrap();
    let error = Server::builder().project(app_id()).bind(first.local_addr()).await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Listen);
    assert_eq!(error.to_string(), format!("cannot listen at {}", first.local_addr()));
    assert!(error.source().is_some(), "the cause is told by the source alone");
    let error = Server::start(ServerConfig::default()).await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Listen);
    let error = Server::builder().project(app_id()).bind("no such name:1").await.unwrap_err();
    assert!(error.to_string().contains("no such name:1"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Server::builder().data_dir(file.path()).bind("127.0.0.1:0").await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Store);
    let shown = error.to_string();
    assert!(shown.contains(file.path().to_str().unwrap()) && shown.contains("not a directory"), "{shown}");
}

#[cfg(feature = "admin")]
#[tokio::test]
async fn a_server_that_cannot_start_keeps_no_port() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = ServerConfig::default();
    config.projects = vec![app_id().into()];
    config.listen = vec![address.into()];
    config.admin.listen = vec![taken.local_addr().unwrap().into()];
    let error = Server::start(config).await.unwrap_err();
    assert_eq!(error.kind(), ServerErrorKind::Listen);
    TcpListener::bind(address).unwrap();
}

#[tokio::test]
async fn at_a_name_it_listens_at_all_its_addresses_with_one_port() {
    for by_file in [true, false] {
        let server = if by_file {
            let config = ServerConfig::from_toml_str(&format!("listen = 'localhost:0'\n{APP_LINE}")).unwrap();
            Server::start(config).await.unwrap()
        } else {
            Server::builder().project(app_id()).bind("localhost:0").await.unwrap()
        };
        let addresses = server.local_addrs();
        let port = addresses[0].port();
        assert!(port != 0 && addresses.iter().all(|address| address.port() == port), "{addresses:?}");
        let mut named: Vec<_> = tokio::net::lookup_host(("localhost", port)).await.unwrap().collect();
        if by_file {
            // By this name in both families, as browsers have it.
            named.push((std::net::Ipv4Addr::LOCALHOST, port).into());
            named.push((std::net::Ipv6Addr::LOCALHOST, port).into());
        }
        // A name that the machine knows for IPv6 may be of no use where that is off.
        let usable = |address: &&std::net::SocketAddr| TcpListener::bind((address.ip(), 0)).is_ok();
        for address in named.iter().filter(usable) {
            assert!(addresses.contains(address), "{address} of {named:?} is not among {addresses:?}");
        }
    }
}

#[test]
fn a_size_or_a_time_beyond_all_bounds_is_told_so() {
    for (line, said) in [
        ("max_memory = \"99999999999GiB\"", "is too large"),
        ("max_memory = \"99999999999999999999MiB\"", "is too large"),
        ("max_memory = \"muchMiB\"", "a size in bytes"),
        ("login_timeout = \"1000000000000y\"", "is longer than a year"),
    ] {
        let error = ServerConfig::from_toml_str(line).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

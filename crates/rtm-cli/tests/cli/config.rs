//! Settings from the environment, and `rtm config`.

use std::{fs, process::Output};

use rtm_server::ServerConfig;

use crate::support::{APP_ID, CERTIFICATE, SECURE_APP_ID, command, rtm};

/// Runs `rtm` with variables.
fn with(variables: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(args).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn the_environment_alone_is_a_configuration() {
    let variables = [("RTM_PROJECT__0__APP_ID", APP_ID), ("RTM_LISTEN", "127.0.0.1:0, [::1]:0")];
    let (code, stdout, stderr) = with(&variables, &["serve", "--check-config"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "the configuration is valid\n", ""));
    let (_, stdout, _) = with(&variables, &["config", "diff"]);
    assert!(stdout.contains("listen = [\"127.0.0.1:0\", \"[::1]:0\"]\n"), "{stdout}");
    assert!(stdout.contains(&format!("project[0].app_id = \"{APP_ID}\"\n")), "{stdout}");
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
}

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rtm.toml");
    let file = path.to_str().unwrap();
    fs::write(&path, format!("drain_rate = 1\nmax_connections = 7\n[[project]]\napp_id = \"{APP_ID}\"\n")).unwrap();
    let variables = [("RTM_MAX_CONNECTIONS", "8"), ("RTM_PROJECT__1__APP_ID", SECURE_APP_ID), ("RTM_WORKERS", "99")];
    let (_, stdout, _) = with(&variables[..2], &["config", "diff", file]);
    assert!(stdout.contains("max_connections = 8\n") && stdout.contains("drain_rate = 1\n"), "{stdout}");
    assert!(stdout.contains("project[0].app_id") && stdout.contains("project[1].app_id"), "{stdout}");
    let (code, _, stderr) = with(&variables, &["serve", "--check-config", "--config", file]);
    assert!(code == Some(1) && stderr.contains("RTM_WORKERS: it has to be 1 to 64"), "{stderr}");
    let (code, _, stderr) = with(&variables[2..], &["serve", "--check-config", "--workers", "2", "--project", APP_ID]);
    assert!(code == Some(1), "a wrong variable is named even where a flag comes before it: {stderr}");
}

#[test]
fn secrets_come_from_files_and_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("certificates");
    fs::write(&secret, format!("{CERTIFICATE}\n")).unwrap();
    let file = ("RTM_PROJECT__0__CERTIFICATES_FILE", secret.to_str().unwrap());
    let app_id = ("RTM_PROJECT__0__APP_ID", APP_ID);
    let (code, stdout, _) = with(&[app_id, file], &["config", "diff"]);
    assert!(code == Some(0) && stdout.contains("project[0].certificates = "), "{stdout}");
    assert!(!stdout.contains(CERTIFICATE), "{stdout}");
    let both = [app_id, file, ("RTM_PROJECT__0__CERTIFICATES", CERTIFICATE)];
    let (code, _, stderr) = with(&both, &["config", "check"]);
    assert!(code == Some(1) && stderr.contains("is set too") && !stderr.contains(CERTIFICATE), "{stderr}");
    let (code, _, stderr) = with(&[app_id, (file.0, "/nowhere")], &["config", "check"]);
    assert!(code == Some(1) && stderr.contains("CERTIFICATES_FILE: cannot read /nowhere"), "{stderr}");
    fs::write(&secret, "5CFd2fd1755d40ec").unwrap();
    let (code, _, stderr) = with(&[app_id, file], &["config", "check"]);
    assert!(code == Some(1) && stderr.contains("CERTIFICATES_FILE") && !stderr.contains("5CFd2fd"), "{stderr}");
}

#[test]
fn secrets_of_webhooks_and_hooks_come_from_files_too() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("secrets");
    let secrets = secrets.to_str().unwrap();
    let [new, old] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];
    let variables = [
        ("RTM_PROJECT__0__APP_ID", APP_ID),
        ("RTM_PROJECT__0__WEBHOOK__0__NAME", "crm"),
        ("RTM_PROJECT__0__WEBHOOK__0__URL", "https://crm.example.com/rtm"),
        ("RTM_PROJECT__0__WEBHOOK__0__SECRETS_FILE", secrets),
        ("RTM_PROJECT__0__HOOK__0__TYPE", "authorize_join"),
        ("RTM_PROJECT__0__HOOK__0__URL", "https://crm.example.com/may-join"),
        ("RTM_PROJECT__0__HOOK__0__ON_ERROR", "deny"),
        ("RTM_PROJECT__0__HOOK__0__SECRETS_FILE", secrets),
    ];
    fs::write(secrets, format!("{new}\n{old}\n")).unwrap();
    let (code, stdout, stderr) = with(&variables, &["config", "diff"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for key in ["webhook[0].secrets = ", "hook[0].secrets = "] {
        assert!(stdout.contains(&format!("project[0].{key}")), "{stdout}");
    }
    assert!(!stdout.contains(new) && !stdout.contains(old), "{stdout}");
    fs::write(secrets, "whsec_dG9vIHNob3J0").unwrap();
    let (code, _, stderr) = with(&variables, &["config", "check"]);
    assert!(code == Some(1) && stderr.contains("SECRETS_FILE") && !stderr.contains("dG9vIHNob3J0"), "{stderr}");
}

#[test]
fn other_variables_are_named_and_do_no_harm() {
    let variables = [
        ("RTM_PROJECT__0__APP_ID", APP_ID),
        ("RTM_PORT", "tcp://10.0.0.1:8080"),
        ("RTM_PROJECT__0__APPID", "x"),
        ("RTM_PROJECT__N__APP_ID", "x"),
        ("RTM_PROJECT__N__CERTIFICATES_FILE", "x"),
        ("RTM_DATA_DIR_FILE", "x"),
        ("RTM_GATEWAY", "http://127.0.0.1:1"),
        ("RTM_APP_ID", SECURE_APP_ID),
        ("RTM_TOKEN", "x"),
        ("RTM_DRAIN_RATE", ""),
    ];
    let (code, _, stderr) = with(&variables, &["config", "check"]);
    assert_eq!(code, Some(0), "{stderr}");
    let named: Vec<_> = warnings(&stderr).iter().filter_map(|said| said.split(' ').nth(1)).collect();
    let wanted = [
        "RTM_DATA_DIR_FILE",
        "RTM_PORT",
        "RTM_PROJECT__0__APPID",
        "RTM_PROJECT__N__APP_ID",
        "RTM_PROJECT__N__CERTIFICATES_FILE",
    ];
    assert_eq!(named, wanted);
    let (code, _, stderr) = with(&variables, &["serve", "--check-config"]);
    assert!(code == Some(0) && stderr.contains("WARN") && stderr.contains("RTM_PORT is not a setting"), "{stderr}");
}

#[test]
fn a_variable_that_looks_like_a_setting_is_named_with_that() {
    for (mistyped, meant) in [
        ("RTM_LISTEM", Some("RTM_LISTEN")),
        ("RTM_DATADIR", Some("RTM_DATA_DIR")),
        ("RTM_PROJECT__7__APPID", Some("RTM_PROJECT__7__APP_ID")),
        ("RTM_PORT", None),
    ] {
        let (_, _, stderr) = with(&[(mistyped, "x")], &["config", "check"]);
        assert_eq!(stderr.contains("did you mean"), meant.is_some(), "{stderr}");
        assert!(meant.is_none_or(|meant| stderr.contains(&format!("did you mean {meant}?"))), "{stderr}");
    }
}

/// What the log says, without when.
fn warnings(stderr: &str) -> Vec<&str> {
    stderr.lines().filter_map(|line| line.split_once(" WARN ").map(|(_, what)| what)).collect()
}

#[test]
fn both_checks_of_a_configuration_say_the_same() {
    let key = format!("[[admin.key]]\nname = \"root\"\nrole = \"read\"\nsha256 = \"{}\"\n", "0".repeat(64));
    let project = format!("[[project]]\napp_id = \"{APP_ID}\"\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rtm.toml");
    let file = path.to_str().unwrap();
    for (text, variable, said) in [
        (format!("{key}{project}"), ("RTM_LISTEM", "x"), vec!["RTM_LISTEM", "keys for the admin API"]),
        (
            format!("log.level = \"loud\"\n{project}"),
            ("RTM_DRAIN_RATE", "7"),
            vec!["log.level = \"loud\" is not a log"],
        ),
        (project.clone(), ("RTM_LOG__LEVEL", "loud"), vec!["RTM_LOG__LEVEL=\"loud\" is not a log level"]),
        (project.clone(), ("RTM_DRAIN_RATE", "fast"), vec!["the environment is not a valid", "RTM_DRAIN_RATE"]),
        (
            format!("drain_rate = \"fast\"\n{project}"),
            ("RTM_WORKERS", "1"),
            vec!["rtm.toml is not a valid", "drain_rate"],
        ),
    ] {
        fs::write(&path, text).unwrap();
        let [check, serve] = [&["config", "check", file][..], &["serve", "--check-config", "--config", file]]
            .map(|args| with(&[variable], args));
        for (code, _, stderr) in [&check, &serve] {
            assert_eq!(*code, check.0, "{stderr}");
            assert!(said.iter().all(|said| stderr.contains(said)), "{stderr}");
        }
        match check.0 {
            Some(0) => assert_eq!(warnings(&check.2), warnings(&serve.2)),
            _ => assert_eq!(check.2, serve.2),
        }
    }
}

#[test]
fn a_wrong_variable_is_named() {
    for (variable, value, what) in [
        ("RTM_DRAIN_RATE", "fast", "is not a number"),
        ("RTM_LOGIN_TIMEOUT", "soon", "is not a time"),
        ("RTM_REST__ENABLED", "yes", "is not true or false"),
        ("RTM_REST__ENABLED", "1", "is not true or false"),
        ("RTM_PROJECT__2__APP_ID", APP_ID, "number 1 is missing"),
        ("RTM_PROJECT__0__SETTINGS__OFFLINE_AFTER", "1s", "shorter than unreachable_after"),
        ("RTM_PROJECT__0__LIMITS__LOGIN", "often", "is not a limit"),
        ("RTM_LOG__FORMAT", "xml", "\"text\" or \"json\""),
    ] {
        let variables = [("RTM_PROJECT__0__APP_ID", APP_ID), (variable, value)];
        let (code, _, stderr) = with(&variables, &["config", "check"]);
        assert!(code == Some(1) && stderr.contains(variable) && stderr.contains(what), "{variable}: {stderr}");
    }
    // The file beside it is not at fault.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    fs::write(&file, "drain_rate = 7\n").unwrap();
    let (_, _, stderr) = with(&[("RTM_DRAIN_RATE", "fast")], &["config", "check", file.to_str().unwrap()]);
    assert!(stderr.starts_with("rtm: the environment is not a valid configuration: RTM_DRAIN_RATE"), "{stderr}");
}

#[test]
fn every_key_is_in_the_table_and_every_key_of_the_table_is_read() {
    let example = include_str!("../../../rtm-server/src/config/example.toml");
    let pattern =
        |key: &str| key.split('[').map(|part| part.trim_start_matches(char::is_numeric)).collect::<Vec<_>>().join("[");
    let keys: Vec<_> = ServerConfig::keys().into_iter().map(|key| key.name).collect();
    for (key, _) in ServerConfig::from_toml_str(example).unwrap().entries() {
        assert!(keys.contains(&pattern(&key)), "{key} is missing in the table");
    }
    // A key that the file does not know would be refused by its name.
    for key in ServerConfig::keys() {
        let variable = key.variable().replace("__N", "__0");
        let value = key.default.as_deref().unwrap_or("x").trim_matches(['"', '[', ']']).replace("\", \"", ",");
        let value =
            if value == "x" && matches!(key.kind, rtm_server::ConfigKind::Number) { "1".to_owned() } else { value };
        let read = ServerConfig::from_toml_and_env("", [(variable.clone(), value)]);
        if let Err(error) = read {
            assert_ne!(error.kind(), rtm_server::ConfigErrorKind::UnknownKey, "{variable}: {error}");
        }
    }
}

#[test]
fn a_difference_has_only_what_somebody_has_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rtm.toml");
    let target =
        "url = \"https://example.com/?token=geheim\"\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n";
    let text = format!(
        "[[admin.key]]\nname = \"a\"\nrole = \"read\"\nsha256 = \"{}\"\n[otlp]\nendpoint = \"http://127.0.0.1:4318\"\n\
         [cluster]\nnats = \"nats://127.0.0.1:4222\"\n[[project]]\napp_id = \"{APP_ID}\"\n\
         [[project.webhook]]\nname = \"a\"\n{target}[[project.hook]]\ntype = \"authorize_join\"\non_error = \"deny\"\n{target}",
        "0".repeat(64)
    );
    fs::write(&path, text).unwrap();
    let (code, stdout, stderr) = with(&[], &["config", "diff", path.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{stderr}");
    let keys: Vec<_> = stdout.lines().map(|line| line.split_once(" = ").unwrap().0).collect();
    let wanted = [
        "otlp.endpoint",
        "admin.key[0].name",
        "admin.key[0].role",
        "admin.key[0].sha256",
        "cluster.nats",
        "project[0].app_id",
        "project[0].webhook[0].name",
        "project[0].webhook[0].url",
        "project[0].webhook[0].secrets",
        "project[0].hook[0].type",
        "project[0].hook[0].url",
        "project[0].hook[0].secrets",
        "project[0].hook[0].on_error",
    ];
    assert_eq!(keys, wanted);
    assert!(stdout.contains("webhook[0].url = \"https://example.com/?…\"") && !stdout.contains("geheim"), "{stdout}");
}

#[test]
fn what_is_printed_can_be_used() {
    let text = |args: &[&str]| String::from_utf8(rtm(args).stdout).unwrap();
    let default = text(&["config", "default"]);
    let config = ServerConfig::from_toml_str(&default).unwrap_or_else(|error| panic!("{error}\n{default}"));
    assert_eq!(config.entries(), ServerConfig::default().entries());
    let variables = text(&["config", "env"]);
    let pairs = variables.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once('=').unwrap());
    let pairs: Vec<_> = pairs.filter(|(name, _)| !name.starts_with("RTM_CLUSTER") && !name.contains("TLS")).collect();
    assert!(pairs.len() > 10, "{variables}");
    let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (config, unknown) = ServerConfig::from_toml_and_env("", pairs).unwrap();
    assert_eq!((config.entries(), unknown.len()), (ServerConfig::default().entries(), 0));
}

#[test]
fn the_page_is_the_one_in_the_repository() {
    let printed = String::from_utf8(rtm(&["config", "doc"]).stdout).unwrap();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md")).unwrap();
    assert!(printed == page, "write the page anew: rtm config doc > docs/configuration.md");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let project = format!("[[project]]\napp_id = \"{APP_ID}\"\n");
    let key =
        |name: &str| format!("[[admin.key]]\nname = \"{name}\"\nrole = \"read\"\nsha256 = \"{}\"\n", "0".repeat(64));
    for (text, what) in [
        (format!("{}{}", key("a"), key("a")), "admin.key[1].name (line 6): two keys have the name \"a\""),
        (key(" "), "admin.key[0].name (line 2): it is empty"),
        ("listen = ['127.0.0.1:80', '127.0.0.1:80']".to_owned(), "listen[1] (line 1): listen[0] listens at port 80"),
        ("listen = '0.0.0.0:80'\nadmin.listen = '127.0.0.1:80'".to_owned(), "admin.listen[0]"),
        ("rest.enabled = 'yes'".to_owned(), "expected true or false, without quotes"),
        ("rest.enabled = 1".to_owned(), "expected true or false, without quotes"),
        (format!("{project}honour_privilege_expiry = 'no'"), "expected true or false, without quotes"),
        ("tls.certificate = 'x'".to_owned(), "missing field `key`"),
        ("tls = { certificate = 'x', key = 'y', min_version = '1.1' }".to_owned(), "\"1.2\" or \"1.3\""),
    ] {
        let error = ServerConfig::from_toml_str(&text).unwrap_err().to_string();
        assert!(error.contains(what), "{text}: {error}");
    }
    for good in ["listen = ['127.0.0.1:0', '127.0.0.1:0']", "listen = ['0.0.0.0:80', '[::]:80']"] {
        ServerConfig::from_toml_str(good).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rtm.toml");
    fs::write(&path, key("a") + &project).unwrap();
    let (code, _, stderr) = with(&[], &["serve", "--check-config", "--config", path.to_str().unwrap()]);
    assert!(code == Some(0) && stderr.contains("no address for it"), "{stderr}");
}

#[test]
fn a_check_finds_what_would_keep_a_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rtm.toml");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let project = format!("[[project]]\napp_id = \"{APP_ID}\"\n");
    let webhook = format!(
        "{project}[[project.webhook]]\nname = \"a\"\nurl = \"https://example.com/\"\nsecrets = [\"{secret}\"]\n"
    );
    for (text, named) in [
        (format!("[log]\nlevel = \"bogus=what\"\n{project}"), "log.level"),
        (format!("{webhook}ca_file = \"/nowhere/ca.pem\"\n"), "/nowhere/ca.pem"),
        (format!("{webhook}timeout = \"0s\"\n"), "timeout"),
    ] {
        fs::write(&path, text).unwrap();
        let output = rtm(&["config", "check", path.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(named), "{named}: {said}");
    }
}

#[test]
fn a_credentials_file_of_nats_is_read_however_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nats.creds");
    let file = path.to_str().unwrap();
    let credentials = "-----BEGIN NATS USER JWT-----\ne30.e30.e30\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\nSUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEQ\n\
         ------END USER NKEY SEED------";
    let app_id = ("RTM_PROJECT__0__APP_ID", APP_ID);
    let variables = [app_id, ("RTM_CLUSTER__NATS", "nats://127.0.0.1:4222"), ("RTM_CLUSTER__NATS_CREDENTIALS", file)];
    for end in ["", "\n", "\r\n\n"] {
        fs::write(&path, format!("{credentials}{end}")).unwrap();
        let (code, _, stderr) = with(&variables, &["config", "check"]);
        assert_eq!((code, &*stderr), (Some(0), ""), "{end:?}");
    }
    fs::write(&path, "-----BEGIN NATS USER JWT-----\n").unwrap();
    let (code, _, stderr) = with(&variables, &["config", "check"]);
    assert!(code == Some(1) && stderr.contains("cannot use") && stderr.contains("nats.creds"), "{stderr}");
}

#[test]
fn without_a_project_it_is_said_what_may_have_been_meant() {
    let mistyped = [("RTM_PROJECT__0__APPID", APP_ID)];
    let (code, _, stderr) = with(&mistyped, &["config", "check"]);
    let meant = "RTM_PROJECT__0__APPID is not a setting (did you mean RTM_PROJECT__0__APP_ID?), and is ignored";
    assert!(code == Some(0) && stderr.contains(meant), "{stderr}");
    let mistyped = [("RTM_APPID", APP_ID)];
    let (code, _, stderr) = with(&mistyped, &["serve"]);
    assert!(code == Some(2) && stderr.contains("RTM_APPID is not a setting"), "{stderr}");
    let (code, _, stderr) = with(&[], &["config", "check"]);
    assert!(code == Some(0) && stderr.contains("there is no project here"), "{stderr}");
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    let value = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"/data/\xff");
    let with = |variable: &str| {
        let output = command(&["config", "check"]).env(variable, value).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for variable in ["RTM_DATA_DIR", "RTM_PROJECT__0__CERTIFICATES_FILE"] {
        let (is_valid, said) = with(variable);
        assert!(!is_valid && said.contains(&format!("{variable} is not valid UTF-8")), "{said}");
    }
    let (is_valid, said) = with("RTM_PORT");
    assert!(is_valid && said.contains("RTM_PORT is not a setting, and is ignored"), "{said}");
    let (is_valid, said) = with("RTM_TOKEN");
    assert!(is_valid && !said.contains("RTM_TOKEN"), "{said}");
}

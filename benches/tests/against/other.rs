//! Stands in for the `compare` of another checkout.

use std::{env, fs, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let behaviour = env::var("OTHER").unwrap();
    if args[1] == "--list" {
        match behaviour.as_str() {
            "does not list" => {
                eprintln!("no such option");
                return ExitCode::from(2);
            }
            "lists something else" => println!("a scenario that nobody knows"),
            _ => println!("codec: encode, 32 B\ncodec: decode, 32 B"),
        }
        return ExitCode::SUCCESS;
    }
    let expected = ["--rounds", "1", "--only", "codec: encode, 32 B", "--json"];
    assert_eq!(args[1..6], expected);
    assert_eq!(args[7..], ["--candidate", "RTM for Rust"]);
    let figure = |candidate: &str, round: u32, value: u32| {
        format!(
            r#"{{"scenario":"codec: encode, 32 B","candidate":"{candidate}","round":{round},
                "metric":"CPU ns/message","value":{value}}}"#
        )
    };
    let (figures, failures) = match behaviour.as_str() {
        "writes nothing" => return ExitCode::from(2),
        "writes something else" => {
            fs::write(&args[6], "a table").unwrap();
            return ExitCode::SUCCESS;
        }
        "fails" => (Vec::new(), r#""the server did not start""#),
        _ => {
            let native = [10, 20, 90].into_iter().enumerate();
            let mut figures: Vec<String> = native.map(|(turn, ns)| figure("native", turn as u32, ns)).collect();
            figures.push(figure("an old rival", 0, 5));
            (figures, "")
        }
    };
    fs::write(&args[6], format!(r#"{{"figures":[{}],"failures":[{failures}]}}"#, figures.join(","))).unwrap();
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

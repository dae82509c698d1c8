//! The kept inputs of every target, with a compiler of any kind and without the fuzzer.

use std::{fs, path::Path};

use rtm_fuzz_inputs::{TARGETS, Target};

#[test]
fn every_kept_input_is_taken_without_harm() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds");
    for Target { name, run } in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(seeds.join(name)).unwrap() {
            let path = entry.unwrap().path();
            // Shown when the next line panics.
            println!("{}", path.display());
            run(&fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 0, "there is no input for {name}");
    }
}

#[test]
fn inputs_of_no_meaning_are_taken_without_harm() {
    for Target { run, .. } in TARGETS {
        for input in [&[][..], &[0; 300], &[0xff; 300], &(0..=255).collect::<Vec<u8>>()] {
            run(input);
        }
    }
}

//! `rtm --version`: which version this is, and what it was built from.

use crate::output;

/// What the server of this program has, as the features of `rtm-server` are called.
const FEATURES: [&str; 5] = ["admin", "cluster", "console", "otlp", "webhooks"];

pub(crate) fn print(verbose: bool) -> anyhow::Result<()> {
    let mut text = concat!("rtm ", env!("CARGO_PKG_VERSION"), "\n").to_owned();
    if verbose {
        text.push_str(concat!("commit: ", env!("BUILD_COMMIT"), "\n"));
        text.push_str(concat!("target: ", env!("BUILD_TARGET"), "\n"));
        text.push_str(concat!("rustc: ", env!("BUILD_RUSTC"), "\n"));
        text.push_str(concat!("profile: ", env!("BUILD_PROFILE"), "\n"));
        text.push_str(&format!("features: {}\n", FEATURES.join(" ")));
    }
    output::text(&text)
}

/// What this program is built from, for those who run it.
pub(crate) fn build() -> rtm_server::BuildInfo {
    rtm_server::BuildInfo::new(env!("BUILD_COMMIT"), env!("BUILD_RUSTC"))
}

#[cfg(test)]
mod tests {
    use super::FEATURES;

    #[test]
    fn the_features_are_those_of_the_manifest() {
        let manifest = include_str!("../Cargo.toml");
        let line = manifest.lines().find(|line| line.starts_with("rtm-server = ")).unwrap();
        let names: Vec<_> = line.split_once("features").unwrap().1.split('"').skip(1).step_by(2).collect();
        assert_eq!(names, FEATURES);
    }
}

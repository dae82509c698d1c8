//! How a command ends: with which status, and what is said on standard error.

use std::{fmt, process::ExitCode};

use rtm_client::BuildError;

use crate::output::{self, OutputError};

/// The command did what it should, and what was required of the outcome is not met.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unmet(pub(crate) &'static str);

/// An argument that can only be judged together with others.
#[derive(Debug)]
pub(crate) struct WrongArgument(pub(crate) String);

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unmet {}

impl fmt::Display for WrongArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongArgument {}

/// Says why a command failed, and gives its status. Whoever closes the standard output has read enough: that is no failure.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    if error.downcast_ref::<OutputError>().is_some_and(OutputError::is_closed) {
        return ExitCode::SUCCESS;
    }
    output::note(format_args!("rtm: {}", causes(error)));
    if error.downcast_ref::<Unmet>().is_some() {
        ExitCode::from(UNMET)
    } else if error
        .chain()
        .any(|cause| is_of_arguments(cause) || cause.is::<rtm_token::BuildError>() || cause.is::<WrongArgument>())
    {
        ExitCode::from(WRONG_ARGUMENTS)
    } else {
        ExitCode::FAILURE
    }
}

/// Ends the process as it is. Whoever returns waits for what is dropped then, and a store for its disk.
pub(crate) fn at_once(why: &str) -> ! {
    output::note(format_args!("rtm: {why}"));
    std::process::exit(FAILED)
}

/// Whether the client library refuses what the arguments say themselves, and not what is in a file that they name.
fn is_of_arguments(error: &(dyn std::error::Error + 'static)) -> bool {
    let refused = error.downcast_ref::<BuildError>();
    refused.is_some_and(|error| !matches!(error, BuildError::Certificates(_) | BuildError::ClientCertificate(_)))
}

/// The error and its causes, each said once: some say their cause themselves.
fn causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.as_str() {
            "" => cause,
            said if said.ends_with(&cause) => said.to_owned(),
            said => format!("{said}: {cause}"),
        }
    })
}

/// What the status of the process means, for the help.
pub(crate) const HELP: &str = "\
Exit status:
  0  success
  1  failure, also of a file that cannot be read or used, and of a --cluster that is no address of NATS;
     the reason is on standard error
  2  wrong arguments
  3  `rtm send --require`: a message had another outcome

Environment:
  RTM_GATEWAY, RTM_APP_ID, RTM_UID, RTM_TOKEN, RTM_CERTIFICATE
            replace the options of these names
  RTM_ADMIN_URL, RTM_ADMIN_KEY
            replace --url and --key of rtm admin and rtm top
  RTM_LOG   log level on standard error: error, warn, info, debug or trace; also per module, as in
            warn,rtm_server=debug
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
            proxies of bench and of all commands that log in, as curl reads them
  NO_COLOR  turns colours off";

const FAILED: i32 = 1;
const WRONG_ARGUMENTS: u8 = 2;
const UNMET: u8 = 3;

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = || anyhow::anyhow!("no room").context("cannot write: no room").context("cannot save");
        assert_eq!(causes(&error()), "cannot save: cannot write: no room");
    }

    #[test]
    fn a_cause_is_said_also_where_another_part_said_the_same() {
        let error = anyhow::Error::new(io::Error::other("refused")).context("a: refused; b");
        assert_eq!(causes(&error), "a: refused; b: refused");
    }
}

//! `rss`: the Remote Support Server and its operator's commands; none but `rss respond` asks anything back.

use drawbridge_rss::operator::{self, Command};
use std::process::ExitCode;

const HELP: &str = "\
rss: the Drawbridge Remote Support Server

  rss serve     --config FILE
  rss enrol     --config FILE [--serial SERIAL] [--name NAME] [--address CIDR] [--minutes 15]
                a token for one appliance, good once: on stdout, alone
  rss systems   --config FILE [list | remove SERIAL | rename SERIAL NAME | known-hosts]
  rss systems   --config FILE evidence SYSTEM [accept FINGERPRINT | forget FINGERPRINT]
                the keys by which its recordings are known, and one that was refused
  rss sessions  --config FILE [list] [--system SYSTEM] [--text TEXT] [--json]
                recordings, the latest first; one that still comes in is open
  rss sessions  --config FILE show NAME [--json]
                who, when, how long, what happened; NAME is a recording's, or SYSTEM/NAME
  rss sessions  --config FILE play NAME [--terminal 1] [--speed 1] [--max-idle SECONDS]
                draws a terminal as it looked; without a terminal of your own, what it showed last
  rss sessions  --config FILE export NAME [--cast | --ttyrec [--terminal 1]] [FILE]
                a tar file that verify takes, an asciicast, or a terminal for ttyplay; - is stdout
  rss sessions  --config FILE verify NAME | verify --all
                whether it is as the appliance sealed it, and where not
  rss sessions  --config FILE remove NAME
  rss engineers --config FILE [list]
  rss engineers --config FILE add NAME --key FILE [--authority] [--role engineer|observer] [--systems PATTERN,...]
                [--from CIDR,...] [--days N]
                NAME is the SSH user name; FILE holds the public key, of an authority with --authority;
                without --systems he reaches none; * is all; an observer lists them and reaches none
  rss engineers --config FILE remove NAME | disable NAME
                who is connected is cut within seconds
  rss audit     --config FILE
                every line that is kept, as JSON
  rss key       --config FILE NEW-FILE [--name NAME]
                makes the vendor's signing key, and prints the line by which appliances know it
  rss respond   --config FILE --key SIGNING-KEY [CHALLENGE] [--who NAME] [--reason TEXT] [--minutes N]
                answers an appliance's challenge; asks for what is not given
  rss grant     --config FILE --key SIGNING-KEY --engineer KEY.pub --serial SERIAL --case CASE --minutes N
                [--target HOST:PORT,...] [--shell] [--files] [--forwards] [--after-hours 0] [--days 1]
                an approval for one session, to be used within so many days, or later than in so many hours

The settings are described in rss.example.toml. A server that runs takes up changes of all this by itself,
and of the settings' limits and addresses when it is started again.
";

fn main() -> ExitCode {
    let command = match operator::read(lexopt::Parser::from_env()) {
        Ok(Command::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(command) => command,
        Err(error) => {
            eprintln!("rss: {error}; rss --help says more");
            return ExitCode::from(2);
        }
    };
    match operator::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rss: {error}");
            ExitCode::FAILURE
        }
    }
}

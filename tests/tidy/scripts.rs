//! Shell scripts: ShellCheck has nothing to say, and each answers `--help`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use penstock_tests::place;

use crate::source;

/// Folders with scripts.
const FOLDERS: &[&str] = &[".ci", "bench", "core/fuzz", "deploy", "tests"];

#[test]
fn scripts_are_sound() {
    let scripts = scripts();
    for known in ["deploy/quickstart", "tests/run", ".ci/run", "core/fuzz/run"] {
        assert!(scripts.iter().any(|path| path.ends_with(known)), "{known} was not found");
    }
    let Some(shellcheck) = place::program("shellcheck") else { return };
    let mut command = Command::new(shellcheck);
    // SC2317 takes functions that are called by name, through their arguments, for unreachable.
    command.args(["--external-sources", "--exclude=SC2317"]).args(&scripts).current_dir(place::workspace());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn scripts_say_what_they_do() {
    for script in scripts().iter().filter(|script| is_program(script)) {
        let mut command = Command::new(script);
        let output = command.arg("--help").current_dir("/").stdin(Stdio::null()).output().unwrap();
        let said = text(&output.stdout);
        assert!(output.status.success(), "{}: {}", script.display(), text(&output.stderr));
        let name = script.file_name().unwrap().to_str().unwrap();
        assert!(said.lines().count() > 1 && said.contains(name), "{} --help says: {said}", script.display());
    }
}

/// Files of the tree that a shell reads: by their first line.
fn scripts() -> Vec<PathBuf> {
    FOLDERS
        .iter()
        .flat_map(|folder| source::paths(&place::workspace().join(folder)))
        .filter(|path| !path.components().any(|part| part.as_os_str() == "target"))
        .filter(|path| {
            let bytes = std::fs::read(path).unwrap();
            let first = text(bytes.split(|byte| *byte == b'\n').next().unwrap_or(&[]));
            (first.starts_with("#!") && first.ends_with("sh")) || first.starts_with("# shellcheck shell=")
        })
        .collect()
}

/// What is run by its own name; Debian's maintainer scripts are run by dpkg.
fn is_program(script: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    script.metadata().unwrap().permissions().mode() & 0o111 != 0
        && !script.starts_with(place::workspace().join("deploy/deb/control"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

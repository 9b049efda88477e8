//! What the command tells of itself beside `--help`: a manual page for each subcommand, completions for shells.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use penstock_tests::place;
use tempfile::TempDir;

/// What a command prints; it must do well.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn penstock(arguments: &[&str]) -> String {
    said(place::binary("penstock").to_str().unwrap(), arguments)
}

/// The first words of the lines below a heading of `--help`, up to the next heading.
fn below<'a>(help: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = help.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| line.starts_with(' '));
    lines.filter(|line| line.starts_with("  ") && !line.starts_with("   ")).filter_map(first_word).collect()
}

fn first_word(line: &str) -> Option<&str> {
    line.split_whitespace().next()
}

/// Every command that `--help` leads to, as its words.
fn commands() -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(command) = found.get(next).cloned() {
        next += 1;
        let help = help(&command);
        for name in below(&help, "Commands:").into_iter().filter(|name| *name != "help") {
            found.push(command.iter().cloned().chain([name.to_owned()]).collect());
        }
    }
    found
}

fn help(command: &[String]) -> String {
    let words: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    penstock(&words)
}

#[test]
fn each_subcommand_has_a_manual_page_with_all_of_its_options() {
    let directory = TempDir::new().unwrap();
    assert_eq!(penstock(&["man", "--out", directory.path().to_str().unwrap()]), "");
    let mut pages = BTreeSet::new();
    let commands = commands();
    assert!(commands.len() > 30, "{commands:?}");
    for command in &commands {
        let name = std::iter::once("penstock").chain(command.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
        let page = place::read(directory.path().join(format!("{name}.1"))).replace("\\-", "-").replace("\\*(Aq", "'");
        assert!(page.contains(&format!(".TH {name} 1")) && page.contains(".SH NAME"), "{name}: {page}");
        let help = help(command);
        for option in
            help.split(|mark: char| !mark.is_ascii_lowercase() && mark != '-').filter(|word| word.starts_with("--"))
        {
            assert!(page.contains(option), "{name} has no {option}: {page}");
        }
        if let Some((_, examples)) = help.split_once("Examples:\n") {
            let example = examples.lines().next().unwrap();
            assert!(page.lines().any(|line| line.starts_with(example)), "{name}: no example `{example}` in {page}");
        }
        pages.insert(format!("{name}.1"));
    }
    let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), pages);
    assert_eq!(penstock(&["man"]), place::read(directory.path().join("penstock.1")));
}

/// What bash offers after `words`, of which the last is being typed.
fn completed(script: &str, words: &[&str]) -> BTreeSet<String> {
    let (last, before) = words.split_last().unwrap();
    let ask = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={}; _penstock penstock '{last}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        before.len(),
        before.last().unwrap()
    );
    said("bash", &["--norc", "-uec", &ask]).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_subcommands_and_options() {
    let script = penstock(&["completions", "bash"]);
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(completed(&script, &["penstock", "ca"]), set(&["ca", "catalogue"]));
    assert_eq!(completed(&script, &["penstock", "policy", "ro"]), set(&["rollback", "rollout"]));
    assert_eq!(completed(&script, &["penstock", "policy", "apply", "--admin-"]), set(&["--admin-ca"]));
    assert_eq!(completed(&script, &["penstock", "ca", "export", "--format", "p"]), set(&["p12", "pem"]));
}

#[test]
fn each_shell_is_told_of_every_subcommand() {
    for (shell, mark) in
        [("bash", "complete -F _penstock"), ("fish", "complete -c penstock"), ("zsh", "#compdef penstock")]
    {
        let script = penstock(&["completions", shell]);
        assert!(script.contains(mark), "{shell}");
        for name in commands().iter().flatten() {
            assert!(script.contains(name.as_str()), "{shell} does not know {name}");
        }
    }
    let output = Command::new(place::binary("penstock")).args(["completions", "cmd"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

//! A description of the machine and of the versions that the results depend on.

use std::fs;

const LOCK_FILE: &str = include_str!("../../Cargo.lock");

/// Returns a line with the CPU, its cores, the kernel, the compiler and the versions of `packages`.
pub(crate) fn describe<'a>(packages: impl IntoIterator<Item = &'a str>) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let uname = rustix::system::uname();
    let mut parts = vec![
        cpu_model(&cpuinfo),
        format!("{cores} cores"),
        format!(
            "{} {}",
            uname.sysname().to_string_lossy(),
            uname.release().to_string_lossy()
        ),
        env!("UPTICK_BENCH_RUSTC").to_owned(),
    ];
    parts.extend(packages.into_iter().map(|name| {
        format!(
            "{name} {}",
            version(LOCK_FILE, name).unwrap_or("of unknown version")
        )
    }));
    if cfg!(debug_assertions) {
        parts.push("DEBUG BUILD".to_owned());
    }
    parts.join(" · ")
}

fn cpu_model(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(name, value)| (name.trim() == "model name").then(|| value.trim().to_owned()))
        .unwrap_or_else(|| "unknown CPU".to_owned())
}

/// Returns the version of a package; the newest one if there are several.
pub(crate) fn version<'a>(lock_file: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock_file.lines();
    let mut newest = None;
    while lines.any(|line| line == name) {
        newest = lines.next();
    }
    newest?.strip_prefix("version = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_package_with_exactly_this_name_counts() {
        let lock = "[[package]]\nname = \"mio-extras\"\nversion = \"2.0.6\"\n\n\
                    [[package]]\nname = \"mio\"\nversion = \"1.2.4\"\n";
        assert_eq!(version(lock, "mio"), Some("1.2.4"));
        assert_eq!(version(lock, "tokio"), None);
    }

    #[test]
    fn of_several_versions_the_newest_is_shown() {
        let lock = "name = \"rustls\"\nversion = \"0.21.12\"\n\nname = \"rustls\"\nversion = \"0.23.46\"\n";
        assert_eq!(version(lock, "rustls"), Some("0.23.46"));
    }

    #[test]
    fn the_cpu_model_is_found() {
        assert_eq!(
            cpu_model("processor\t: 0\nmodel name\t: Fast CPU @ 9 GHz\n"),
            "Fast CPU @ 9 GHz"
        );
        assert_eq!(cpu_model(""), "unknown CPU");
    }
}

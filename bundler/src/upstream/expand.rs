//! Address and member patterns of component files.

use chom_format::manifest::Arch;

/// Puts version and Debian's name of the processor in for `{version}` and `{arch}`.
pub fn expand(pattern: &str, version: &str, arch: Arch) -> String {
    pattern.replace("{version}", version).replace("{arch}", arch.debian())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_filled_in() {
        let url =
            expand("https://site.example/v{version}/p-{version}.linux-{arch}.zip", "1.2", Arch::Aarch64);
        assert_eq!(url, "https://site.example/v1.2/p-1.2.linux-arm64.zip");
    }
}

//! `forecourt-loadtest`: an outside load client.

fn main() -> anyhow::Result<()> {
    anyhow::bail!("not available in this build")
}

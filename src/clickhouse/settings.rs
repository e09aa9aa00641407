//! The configuration files that the engine reads at its start: limits, and what its one user may do.
//!
//! libchdb is ClickHouse's `local` tool as a library: unrestricted, it reads and writes any file and address that its
//! process can reach. The user here may do everything with tables and databases, and nothing outside of them.

use std::path::{Path, PathBuf};

/// The engine lives beside Kafka and Forecourt: it gets a third of the memory, not nine tenths.
const CONFIG: &str = "<clickhouse>
    <max_server_memory_usage_to_ram_ratio>0.34</max_server_memory_usage_to_ram_ratio>
    <mark_cache_size>268435456</mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <user_directories><users_xml><path>users.xml</path></users_xml></user_directories>
    <access_control_improvements>
        <table_engines_require_grant>true</table_engines_require_grant>
    </access_control_improvements>
</clickhouse>
";

const USERS: &str = "<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password></password>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SHOW, SELECT, INSERT, ALTER, CREATE, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, KILL QUERY, SYSTEM, INTROSPECTION, dictGet ON *.*</query>
GRANTS            </grants>
        </default>
    </users>
</clickhouse>
";

/// Engines whose tables live in the data directory or in memory.
const TABLE_ENGINES: &[&str] = &[
    "MergeTree",
    "ReplacingMergeTree",
    "SummingMergeTree",
    "AggregatingMergeTree",
    "CollapsingMergeTree",
    "VersionedCollapsingMergeTree",
    "CoalescingMergeTree",
    "Memory",
    "Log",
    "TinyLog",
    "StripeLog",
    "Null",
    "Set",
    "Join",
    "Buffer",
    "Merge",
    "GenerateRandom",
];

/// Writes the files and gives the path of the first.
pub(super) fn write(directory: &Path) -> std::io::Result<PathBuf> {
    let grants: String = TABLE_ENGINES
        .iter()
        .map(|engine| format!("                <query>GRANT TABLE ENGINE ON {engine}</query>\n"))
        .collect();
    let config = directory.join("config.xml");
    std::fs::write(directory.join("users.xml"), USERS.replace("GRANTS", &grants))?;
    std::fs::write(&config, CONFIG)?;
    Ok(config)
}

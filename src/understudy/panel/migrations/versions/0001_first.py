"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "panel_settings",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_panel_settings"),
    )
    op.create_table(
        "panel_pairs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("model_a", sa.Text, nullable=False),
        sa.Column("model_b", sa.Text, nullable=False),
        sa.Column("text_a", sa.Text, nullable=False),
        sa.Column("text_b", sa.Text, nullable=False),
        sa.Column("better", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_panel_pairs"),
        sa.UniqueConstraint(
            "kind", "item", "model_a", "model_b", name="uq_panel_pairs_kind_item_model_a_model_b"
        ),
    )
    op.create_table(
        "panel_raters",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("protocol", sa.String(16), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("begun", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_panel_raters"),
        sa.UniqueConstraint("name", name="uq_panel_raters_name"),
        sa.UniqueConstraint("token", name="uq_panel_raters_token"),
    )
    op.create_table(
        "panel_tasks",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("rater", sa.Integer, nullable=False),
        sa.Column("pair", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("swapped", sa.Boolean, nullable=False),
        sa.Column("shown", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_panel_tasks"),
        sa.ForeignKeyConstraint(["rater"], ["panel_raters.id"], name="fk_panel_tasks_rater"),
        sa.ForeignKeyConstraint(["pair"], ["panel_pairs.id"], name="fk_panel_tasks_pair"),
        sa.UniqueConstraint("name", name="uq_panel_tasks_name"),
        sa.UniqueConstraint("rater", "pair", name="uq_panel_tasks_rater_pair"),
        sa.UniqueConstraint("rater", "position", name="uq_panel_tasks_rater_position"),
    )
    op.create_index(
        "ix_panel_tasks_pair_swapped_rater", "panel_tasks", ["pair", "swapped", "rater"]
    )
    op.create_table(
        "panel_ratings",
        sa.Column("task", sa.Integer, nullable=False),
        sa.Column("choice", sa.String(16), nullable=False),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("active_ms", sa.Integer, nullable=False),
        sa.Column("rated", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("task", name="pk_panel_ratings"),
        sa.ForeignKeyConstraint(["task"], ["panel_tasks.id"], name="fk_panel_ratings_task"),
    )
    op.create_table(
        "panel_sessions",
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("rater", sa.Integer),
        sa.Column("expires", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("secret", name="pk_panel_sessions"),
        sa.ForeignKeyConstraint(["rater"], ["panel_raters.id"], name="fk_panel_sessions_rater"),
    )

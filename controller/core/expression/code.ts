import type { Meter } from './limits.ts';
import type { ConditionFacts, ExpressionContext } from './types.ts';
import type { Value } from './values.ts';

/** One evaluation: what it sees and what it has used. */
export interface Frame extends Meter {
  context: ExpressionContext;
  facts: ConditionFacts | undefined;
  /** Values of the macro variables in scope, outermost first. */
  slots: Value[];
}

/** A compiled expression. @throws ExpressionError */
export type Code = (frame: Frame) => Value;
